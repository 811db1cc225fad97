"""The native data plane. Where it cannot be compiled the Python forwarder does its work (see mediaserver/planes.py)."""

from setuptools import Extension, setup

setup(
    ext_modules=[
        Extension(
            "mediaserver.dataplane",
            ["mediaserver/dataplane.pyx"],
            depends=["mediaserver/estimate.pxi"],
            # No contraction: an estimate must come out as in bandwidth.py.
            extra_compile_args=["-O2", "-std=gnu11", "-ffp-contract=off"],
            optional=True,
        )
    ]
)
