//! What players send, a request a line: the request line, then its headers, then the status expected. `{url}` is the
//! stream, `{root}` what is above it, `{base}` what the player made of `Content-Base`, `{session}` the session of the last
//! SETUP; `{udp0}` and `{udp1}` are the player's ports.

pub(super) const FFMPEG_UDP: &str = "
OPTIONS {url} | CSeq: 1 | User-Agent: Lavf59.27.100 => 200
DESCRIBE {url} | Accept: application/sdp | CSeq: 2 | User-Agent: Lavf59.27.100 => 200
SETUP {base}trackID=0 | Transport: RTP/AVP/UDP;unicast;client_port={udp0} | CSeq: 3 | User-Agent: Lavf59.27.100 => 200
SETUP {base}trackID=1 | Transport: RTP/AVP/UDP;unicast;client_port={udp1} | CSeq: 4 | User-Agent: Lavf59.27.100 | Session: {session} => 200
PLAY {base} | Range: npt=0.000- | CSeq: 5 | User-Agent: Lavf59.27.100 | Session: {session} => 200
";

pub(super) const FFMPEG_ALIVE: &str = "
GET_PARAMETER {base} | CSeq: 6 | User-Agent: Lavf59.27.100 | Session: {session} => 200
TEARDOWN {base} | CSeq: 7 | User-Agent: Lavf59.27.100 | Session: {session} => 200
";

pub(super) const FFMPEG_TCP: &str = "
OPTIONS {url} | CSeq: 1 | User-Agent: Lavf59.27.100 => 200
DESCRIBE {url} | Accept: application/sdp | CSeq: 2 | User-Agent: Lavf59.27.100 => 200
SETUP {base}trackID=0 | Transport: RTP/AVP/TCP;unicast;interleaved=0-1 | CSeq: 3 | User-Agent: Lavf59.27.100 => 200
SETUP {base}trackID=1 | Transport: RTP/AVP/TCP;unicast;interleaved=2-3 | CSeq: 4 | User-Agent: Lavf59.27.100 | Session: {session} => 200
PLAY {base} | Range: npt=0.000- | CSeq: 5 | User-Agent: Lavf59.27.100 | Session: {session} => 200
";

/// ffmpeg goes on with the session of a 461 if it named one; ours names none.
pub(super) const FFMPEG_WITHOUT_UDP: &str = "
OPTIONS {url} | CSeq: 1 | User-Agent: Lavf59.27.100 => 200
DESCRIBE {url} | Accept: application/sdp | CSeq: 2 | User-Agent: Lavf59.27.100 => 200
SETUP {base}trackID=0 | Transport: RTP/AVP/UDP;unicast;client_port={udp0} | CSeq: 3 | User-Agent: Lavf59.27.100 => 461
SETUP {base}trackID=0 | Transport: RTP/AVP/TCP;unicast;interleaved=0-1 | CSeq: 4 | User-Agent: Lavf59.27.100 => 200
SETUP {base}trackID=1 | Transport: RTP/AVP/TCP;unicast;interleaved=2-3 | CSeq: 5 | User-Agent: Lavf59.27.100 | Session: {session} => 200
PLAY {base} | Range: npt=0.000- | CSeq: 6 | User-Agent: Lavf59.27.100 | Session: {session} => 200
";

/// `-timeout`, and no packet within it: PAUSE, then SETUP over TCP without a session, then PLAY, on one connection.
pub(super) const FFMPEG_AFTER_SILENCE: &str = "
PAUSE {base} | CSeq: 6 | User-Agent: Lavf59.27.100 | Session: {session} => 200
SETUP {base}trackID=0 | Transport: RTP/AVP/TCP;unicast;interleaved=0-1 | CSeq: 7 | User-Agent: Lavf59.27.100 => 200
SETUP {base}trackID=1 | Transport: RTP/AVP/TCP;unicast;interleaved=2-3 | CSeq: 8 | User-Agent: Lavf59.27.100 | Session: {session} => 200
PLAY {base} | Range: npt=0.000- | CSeq: 9 | User-Agent: Lavf59.27.100 | Session: {session} => 200
";

pub(super) const FFMPEG_QUERY: &str = "
OPTIONS {url}?ch=1&sub=0 | CSeq: 1 | User-Agent: Lavf59.27.100 => 200
DESCRIBE {url}?ch=1&sub=0 | Accept: application/sdp | CSeq: 2 | User-Agent: Lavf59.27.100 => 200
SETUP {url}?ch=1&sub=0/trackID=0 | Transport: RTP/AVP/TCP;unicast;interleaved=0-1 | CSeq: 3 | User-Agent: Lavf59.27.100 => 200
SETUP {url}?ch=1&sub=0/trackID=1 | Transport: RTP/AVP/TCP;unicast;interleaved=2-3 | CSeq: 4 | User-Agent: Lavf59.27.100 | Session: {session} => 200
PLAY {url}?ch=1&sub=0/ | Range: npt=0.000- | CSeq: 5 | User-Agent: Lavf59.27.100 | Session: {session} => 200
";

pub(super) const GST_OPTIONS: &str = "
OPTIONS {url} | CSeq: 1 | User-Agent: GStreamer/1.22.0 | User-Agent: RealMedia Player Version 6.0.9.1235 (linux-2.0-libc6-i386-gcc2.95) | ClientChallenge: 9e26d33f2984236010ef6253fb1887f7 | CompanyID: KnKV4M4I/B2FjJ1TToLycw== | GUID: 00000000-0000-0000-0000-000000000000 | RegionData:  | Date: Sat, 21 Nov 2026 00:31:18 GMT => 200
DESCRIBE {url} | CSeq: 2 | User-Agent: GStreamer/1.22.0 | Accept: application/sdp | Date: Sat, 21 Nov 2026 00:31:18 GMT => 200
";

pub(super) const GST_UDP: &str = "
SETUP {base}trackID=0 | CSeq: 3 | User-Agent: GStreamer/1.22.0 | Transport: RTP/AVP;unicast;client_port={udp0} | Date: Sat, 21 Nov 2026 00:31:18 GMT => 200
SETUP {base}trackID=1 | CSeq: 4 | User-Agent: GStreamer/1.22.0 | Transport: RTP/AVP;unicast;client_port={udp1} | Session: {session} | Date: Sat, 21 Nov 2026 00:31:18 GMT => 200
PLAY {base} | CSeq: 5 | User-Agent: GStreamer/1.22.0 | Range: npt=0- | Session: {session} | Date: Sat, 21 Nov 2026 00:31:18 GMT => 200
";

pub(super) const GST_ALIVE: &str = "
GET_PARAMETER {base} | CSeq: 6 | User-Agent: GStreamer/1.22.0 | Session: {session} | Date: Sat, 21 Nov 2026 00:31:26 GMT => 200
SET_PARAMETER {base} | CSeq: 7 | User-Agent: GStreamer/1.27.0 | Session: {session} | Date: Sat, 21 Nov 2026 00:31:26 GMT => 200
TEARDOWN {base} | CSeq: 8 | User-Agent: GStreamer/1.22.0 | Session: {session} | Date: Sat, 21 Nov 2026 00:31:23 GMT => 200
";

pub(super) const GST_TCP: &str = "
SETUP {base}trackID=0 | CSeq: 3 | User-Agent: GStreamer/1.22.0 | Transport: RTP/AVP/TCP;unicast;interleaved=0-1 | Date: Sat, 21 Nov 2026 00:31:18 GMT => 200
SETUP {base}trackID=1 | CSeq: 4 | User-Agent: GStreamer/1.22.0 | Transport: RTP/AVP/TCP;unicast;interleaved=2-3 | Session: {session} | Date: Sat, 21 Nov 2026 00:31:18 GMT => 200
PLAY {base} | CSeq: 5 | User-Agent: GStreamer/1.22.0 | Range: npt=0- | Session: {session} | Date: Sat, 21 Nov 2026 00:31:18 GMT => 200
";

/// UDP, multicast without ports, TCP.
pub(super) const GST_WITHOUT_UDP: &str = "
SETUP {base}trackID=0 | CSeq: 3 | User-Agent: GStreamer/1.22.0 | Transport: RTP/AVP;unicast;client_port={udp0} | Date: Sat, 21 Nov 2026 00:31:18 GMT => 461
SETUP {base}trackID=0 | CSeq: 4 | User-Agent: GStreamer/1.22.0 | Transport: RTP/AVP;multicast | Date: Sat, 21 Nov 2026 00:31:18 GMT => 461
SETUP {base}trackID=0 | CSeq: 5 | User-Agent: GStreamer/1.22.0 | Transport: RTP/AVP/TCP;unicast;interleaved=0-1 | Date: Sat, 21 Nov 2026 00:31:18 GMT => 200
SETUP {base}trackID=1 | CSeq: 6 | User-Agent: GStreamer/1.22.0 | Transport: RTP/AVP/TCP;unicast;interleaved=2-3 | Session: {session} | Date: Sat, 21 Nov 2026 00:31:18 GMT => 200
PLAY {base} | CSeq: 7 | User-Agent: GStreamer/1.22.0 | Range: npt=0- | Session: {session} | Date: Sat, 21 Nov 2026 00:31:18 GMT => 200
";

/// With a base that has no slash it takes the track for a stream beside ours; on 404 it asks again, the control appended.
pub(super) const GST_RETRY: &str = "
SETUP {root}trackID=7 | CSeq: 3 | User-Agent: GStreamer/1.22.0 | Transport: RTP/AVP/TCP;unicast;interleaved=0-1 | Date: Sat, 21 Nov 2026 00:44:14 GMT => 404
SETUP {url}?ch=1&sub=0/trackID=0 | CSeq: 4 | User-Agent: GStreamer/1.22.0 | Transport: RTP/AVP/TCP;unicast;interleaved=0-1 | Date: Sat, 21 Nov 2026 00:44:14 GMT => 200
SETUP {root}trackID=7 | CSeq: 5 | User-Agent: GStreamer/1.22.0 | Transport: RTP/AVP/TCP;unicast;interleaved=2-3 | Session: {session} | Date: Sat, 21 Nov 2026 00:44:14 GMT => 404
SETUP {url}?ch=1&sub=0/trackID=1 | CSeq: 6 | User-Agent: GStreamer/1.22.0 | Transport: RTP/AVP/TCP;unicast;interleaved=2-3 | Session: {session} | Date: Sat, 21 Nov 2026 00:44:14 GMT => 200
PLAY {url}?ch=1&sub=0/ | CSeq: 7 | User-Agent: GStreamer/1.22.0 | Range: npt=0- | Session: {session} | Date: Sat, 21 Nov 2026 00:44:14 GMT => 200
";

pub(super) const LIVE555_UDP: &str = "
OPTIONS {url} | CSeq: 2 | User-Agent: ./openRTSP (LIVE555 Streaming Media v2026.06.24) => 200
DESCRIBE {url} | CSeq: 3 | User-Agent: ./openRTSP (LIVE555 Streaming Media v2026.06.24) | Accept: application/sdp => 200
SETUP {base}trackID=0 | CSeq: 4 | User-Agent: ./openRTSP (LIVE555 Streaming Media v2026.06.24) | Transport: RTP/AVP;unicast;client_port={udp0} => 200
SETUP {base}trackID=1 | CSeq: 5 | User-Agent: ./openRTSP (LIVE555 Streaming Media v2026.06.24) | Transport: RTP/AVP;unicast;client_port={udp1} | Session: {session} => 200
PLAY {base} | CSeq: 6 | User-Agent: ./openRTSP (LIVE555 Streaming Media v2026.06.24) | Session: {session} | Range: npt=0.000-12.000 => 200
";

pub(super) const LIVE555_TEARDOWN: &str = "
TEARDOWN {base} | CSeq: 7 | User-Agent: ./openRTSP (LIVE555 Streaming Media v2026.06.24) | Session: {session} => 200
";

pub(super) const LIVE555_QUERY: &str = "
OPTIONS {url}?a=1&b=2 | CSeq: 2 | User-Agent: ./openRTSP (LIVE555 Streaming Media v2026.06.24) => 200
DESCRIBE {url}?a=1&b=2 | CSeq: 3 | User-Agent: ./openRTSP (LIVE555 Streaming Media v2026.06.24) | Accept: application/sdp => 200
SETUP {url}?a=1&b=2/trackID=0 | CSeq: 4 | User-Agent: ./openRTSP (LIVE555 Streaming Media v2026.06.24) | Transport: RTP/AVP/TCP;unicast;interleaved=0-1 => 200
SETUP {url}?a=1&b=2/trackID=1 | CSeq: 5 | User-Agent: ./openRTSP (LIVE555 Streaming Media v2026.06.24) | Transport: RTP/AVP/TCP;unicast;interleaved=2-3 | Session: {session} => 200
PLAY {url}?a=1&b=2/ | CSeq: 6 | User-Agent: ./openRTSP (LIVE555 Streaming Media v2026.06.24) | Session: {session} | Range: npt=0.000-4.000 => 200
";

/// It does not fall back: it asks for the second track, and leaves.
pub(super) const LIVE555_WITHOUT_UDP: &str = "
OPTIONS {url} | CSeq: 2 | User-Agent: ./openRTSP (LIVE555 Streaming Media v2026.06.24) => 200
DESCRIBE {url} | CSeq: 3 | User-Agent: ./openRTSP (LIVE555 Streaming Media v2026.06.24) | Accept: application/sdp => 200
SETUP {base}trackID=0 | CSeq: 4 | User-Agent: ./openRTSP (LIVE555 Streaming Media v2026.06.24) | Transport: RTP/AVP;unicast;client_port={udp0} => 461
SETUP {base}trackID=1 | CSeq: 5 | User-Agent: ./openRTSP (LIVE555 Streaming Media v2026.06.24) | Transport: RTP/AVP;unicast;client_port={udp1} => 461
";

/// VLC 3: the tracks over UDP, over TCP after 461, then everything track by track.
pub(super) const VLC_WITHOUT_UDP: &str = "
OPTIONS {url} | CSeq: 2 | User-Agent: LibVLC/3.0.20 (LIVE555 Streaming Media v2016.11.28) => 200
DESCRIBE {url} | CSeq: 3 | User-Agent: LibVLC/3.0.20 (LIVE555 Streaming Media v2016.11.28) | Accept: application/sdp => 200
SETUP {base}trackID=0 | CSeq: 4 | User-Agent: LibVLC/3.0.20 (LIVE555 Streaming Media v2016.11.28) | Transport: RTP/AVP;unicast;client_port={udp0} => 461
SETUP {base}trackID=0 | CSeq: 5 | User-Agent: LibVLC/3.0.20 (LIVE555 Streaming Media v2016.11.28) | Transport: RTP/AVP/TCP;unicast;interleaved=0-1 => 200
SETUP {base}trackID=1 | CSeq: 6 | User-Agent: LibVLC/3.0.20 (LIVE555 Streaming Media v2016.11.28) | Transport: RTP/AVP/TCP;unicast;interleaved=2-3 | Session: {session} => 200
PLAY {base}trackID=0 | CSeq: 7 | User-Agent: LibVLC/3.0.20 (LIVE555 Streaming Media v2016.11.28) | Session: {session} | Range: npt=0.000- => 200
PLAY {base}trackID=1 | CSeq: 8 | User-Agent: LibVLC/3.0.20 (LIVE555 Streaming Media v2016.11.28) | Session: {session} | Range: npt=0.000- => 200
";

pub(super) const VLC_PAUSE: &str = "
PAUSE {base}trackID=0 | CSeq: 9 | User-Agent: LibVLC/3.0.20 | Session: {session} => 200
PAUSE {base}trackID=1 | CSeq: 10 | User-Agent: LibVLC/3.0.20 | Session: {session} => 200
PLAY {base}trackID=0 | CSeq: 11 | User-Agent: LibVLC/3.0.20 | Session: {session} => 200
PLAY {base}trackID=1 | CSeq: 12 | User-Agent: LibVLC/3.0.20 | Session: {session} => 200
";

pub(super) const VLC_TEARDOWN: &str = "
TEARDOWN {base}trackID=0 | CSeq: 13 | User-Agent: LibVLC/3.0.20 | Session: {session} => 200
TEARDOWN {base}trackID=1 | CSeq: 14 | User-Agent: LibVLC/3.0.20 | Session: {session} => 200
TEARDOWN {base}trackID=1 | CSeq: 15 | User-Agent: LibVLC/3.0.20 | Session: {session} => 454
";

pub(super) const EXOPLAYER_UDP: &str = "
OPTIONS {url} | User-Agent: ExoPlayerLib/2.19.1 | CSeq: 0 => 200
DESCRIBE {url} | User-Agent: ExoPlayerLib/2.19.1 | CSeq: 1 => 200
SETUP {base}trackID=0 | User-Agent: ExoPlayerLib/2.19.1 | CSeq: 2 | Transport: RTP/AVP;unicast;client_port={udp0} => 200
SETUP {base}trackID=1 | User-Agent: ExoPlayerLib/2.19.1 | CSeq: 3 | Session: {session} | Transport: RTP/AVP;unicast;client_port={udp1} => 200
PLAY {url} | User-Agent: ExoPlayerLib/2.19.1 | CSeq: 4 | Session: {session} | Range: npt=0.000- => 200
TEARDOWN {url} | User-Agent: ExoPlayerLib/2.19.1 | CSeq: 5 | Session: {session} => 200
";

/// On a new connection, of which it is the first request.
pub(super) const EXOPLAYER_AFTER_SILENCE: &str = "
SETUP {base}trackID=0 | User-Agent: ExoPlayerLib/2.19.1 | CSeq: 6 | Transport: RTP/AVP/TCP;unicast;interleaved=0-1 => 200
SETUP {base}trackID=1 | User-Agent: ExoPlayerLib/2.19.1 | CSeq: 7 | Session: {session} | Transport: RTP/AVP/TCP;unicast;interleaved=2-3 => 200
PLAY {url} | User-Agent: ExoPlayerLib/2.19.1 | CSeq: 8 | Session: {session} | Range: npt=0.000- => 200
";
