"""Errors of the media server, by whose fault they are."""


class MediaError(Exception):
    """Base. `code` is stable and goes to the client that caused it."""

    code = "media_error"


class NegotiationError(MediaError):
    """The client's SDP cannot be used; nothing changed for anybody. Told to that client alone."""

    code = "bad_sdp"


class UnknownParticipantError(MediaError):
    """The caller named a participant that is not (any longer) here."""

    code = "unknown_participant"


class UnknownOfferError(MediaError):
    """An answer to an offer that is not outstanding. The client's fault; nothing changed."""

    code = "unknown_offer"


class NotAllowedToPublishError(MediaError):
    """The participant's grants do not include publishing."""

    code = "not_allowed_to_publish"


class MediaServerFullError(MediaError):
    """`peers_max` is reached: the operator's limit, told to the client as "try later"."""

    code = "server_full"


class NoNativePlaneError(MediaError):
    """The native data plane was asked for and is not compiled: the operator's fault, told at start."""

    code = "no_native_plane"


class PortInUseError(MediaError):
    """The media port is taken: the operator's fault, told at start."""

    code = "media_port_in_use"
