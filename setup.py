"""The native data plane. Where it cannot be compiled the Python forwarder does its work (see mediaserver/planes.py)."""

from setuptools import Extension, setup

setup(
    ext_modules=[
        Extension(
            "mediaserver.dataplane",
            ["mediaserver/dataplane.pyx", "mediaserver/seal.c", "mediaserver/gcm.c"],
            depends=[
                "mediaserver/estimate.pxi",
                "mediaserver/sealing.pxi",
                "mediaserver/seal.h",
                "mediaserver/gcm.h",
            ],
            # No contraction: an estimate must come out as in bandwidth.py. -O3 for gcm.c, whose short loops must be unrolled.
            extra_compile_args=["-O3", "-std=gnu11", "-ffp-contract=off"],
            optional=True,
        )
    ]
)
