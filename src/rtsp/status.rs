//! Status codes (RFC 2326 section 11).

use std::fmt;

/// A status code. Any number of three digits may arrive; those we send have a name here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Status(pub u16);

impl Status {
    /// 200.
    pub const OK: Self = Self(200);
    /// 301.
    pub const MOVED_PERMANENTLY: Self = Self(301);
    /// 302.
    pub const MOVED_TEMPORARILY: Self = Self(302);
    /// 400.
    pub const BAD_REQUEST: Self = Self(400);
    /// 401.
    pub const UNAUTHORIZED: Self = Self(401);
    /// 403.
    pub const FORBIDDEN: Self = Self(403);
    /// 404.
    pub const NOT_FOUND: Self = Self(404);
    /// 405. The answer must carry `Allow` (RFC 2326 section 11.3.1).
    pub const METHOD_NOT_ALLOWED: Self = Self(405);
    /// 406.
    pub const NOT_ACCEPTABLE: Self = Self(406);
    /// 408.
    pub const REQUEST_TIMEOUT: Self = Self(408);
    /// 413.
    pub const REQUEST_ENTITY_TOO_LARGE: Self = Self(413);
    /// 414.
    pub const REQUEST_URI_TOO_LONG: Self = Self(414);
    /// 415.
    pub const UNSUPPORTED_MEDIA_TYPE: Self = Self(415);
    /// 451.
    pub const PARAMETER_NOT_UNDERSTOOD: Self = Self(451);
    /// 453.
    pub const NOT_ENOUGH_BANDWIDTH: Self = Self(453);
    /// 454.
    pub const SESSION_NOT_FOUND: Self = Self(454);
    /// 455. The answer should carry `Allow` (RFC 2326 section 11.3.6).
    pub const METHOD_NOT_VALID: Self = Self(455);
    /// 456.
    pub const HEADER_FIELD_NOT_VALID: Self = Self(456);
    /// 457.
    pub const INVALID_RANGE: Self = Self(457);
    /// 459.
    pub const AGGREGATE_NOT_ALLOWED: Self = Self(459);
    /// 460.
    pub const ONLY_AGGREGATE: Self = Self(460);
    /// 461: after it ffmpeg, GStreamer, VLC and ExoPlayer try the next transport; after 400 ffmpeg gives up.
    pub const UNSUPPORTED_TRANSPORT: Self = Self(461);
    /// 500.
    pub const INTERNAL: Self = Self(500);
    /// 501.
    pub const NOT_IMPLEMENTED: Self = Self(501);
    /// 503.
    pub const SERVICE_UNAVAILABLE: Self = Self(503);
    /// 504.
    pub const GATEWAY_TIMEOUT: Self = Self(504);
    /// 505.
    pub const VERSION_NOT_SUPPORTED: Self = Self(505);
    /// 551. The answer must carry `Unsupported` (RFC 2326 section 12.32).
    pub const OPTION_NOT_SUPPORTED: Self = Self(551);

    /// The reason phrase RFC 2326 gives the code; a word for its class if it gives none.
    pub fn reason(self) -> &'static str {
        match self.0 {
            100 => "Continue",
            200 => "OK",
            201 => "Created",
            250 => "Low on Storage Space",
            300 => "Multiple Choices",
            301 => "Moved Permanently",
            302 => "Moved Temporarily",
            303 => "See Other",
            304 => "Not Modified",
            305 => "Use Proxy",
            400 => "Bad Request",
            401 => "Unauthorized",
            402 => "Payment Required",
            403 => "Forbidden",
            404 => "Not Found",
            405 => "Method Not Allowed",
            406 => "Not Acceptable",
            407 => "Proxy Authentication Required",
            408 => "Request Time-out",
            410 => "Gone",
            411 => "Length Required",
            412 => "Precondition Failed",
            413 => "Request Entity Too Large",
            414 => "Request-URI Too Large",
            415 => "Unsupported Media Type",
            451 => "Parameter Not Understood",
            452 => "Conference Not Found",
            453 => "Not Enough Bandwidth",
            454 => "Session Not Found",
            455 => "Method Not Valid in This State",
            456 => "Header Field Not Valid for Resource",
            457 => "Invalid Range",
            458 => "Parameter Is Read-Only",
            459 => "Aggregate Operation Not Allowed",
            460 => "Only Aggregate Operation Allowed",
            461 => "Unsupported Transport",
            462 => "Destination Unreachable",
            500 => "Internal Server Error",
            501 => "Not Implemented",
            502 => "Bad Gateway",
            503 => "Service Unavailable",
            504 => "Gateway Time-out",
            505 => "RTSP Version Not Supported",
            551 => "Option Not Supported",
            _ => match self.0 / 100 {
                1 => "Informational",
                2 => "Success",
                3 => "Redirection",
                4 => "Client Error",
                _ => "Server Error",
            },
        }
    }

    /// Whether the request was carried out (2xx).
    pub fn is_success(self) -> bool {
        (200..300).contains(&self.0)
    }
}

impl fmt::Display for Status {
    /// `404 Not Found`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:03} {}", self.0, self.reason())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_prints_as_in_the_status_line() {
        assert_eq!(Status::SESSION_NOT_FOUND.to_string(), "454 Session Not Found");
        assert_eq!(Status(299).to_string(), "299 Success");
        assert_eq!(Status(7).to_string(), "007 Server Error");
    }

    #[test]
    fn only_the_two_hundreds_are_a_success() {
        assert!(Status::OK.is_success() && Status(250).is_success());
        assert!(!Status::MOVED_TEMPORARILY.is_success() && !Status::UNAUTHORIZED.is_success());
    }
}
