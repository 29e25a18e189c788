//! Methods (RFC 2326 section 10).

use std::fmt;

/// What a request asks for. Names are case-sensitive (RFC 2326 section 6.1): `options` is [`Method::Other`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// `OPTIONS`.
    Options,
    /// `DESCRIBE`.
    Describe,
    /// `SETUP`.
    Setup,
    /// `PLAY`.
    Play,
    /// `PAUSE`.
    Pause,
    /// `TEARDOWN`.
    Teardown,
    /// `GET_PARAMETER`.
    GetParameter,
    /// `SET_PARAMETER`.
    SetParameter,
    /// `ANNOUNCE`.
    Announce,
    /// `RECORD`.
    Record,
    /// `REDIRECT`.
    Redirect,
    /// Any other token, to be answered with 501.
    Other(String),
}

impl Method {
    /// The name as it stands in the request line.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Options => "OPTIONS",
            Self::Describe => "DESCRIBE",
            Self::Setup => "SETUP",
            Self::Play => "PLAY",
            Self::Pause => "PAUSE",
            Self::Teardown => "TEARDOWN",
            Self::GetParameter => "GET_PARAMETER",
            Self::SetParameter => "SET_PARAMETER",
            Self::Announce => "ANNOUNCE",
            Self::Record => "RECORD",
            Self::Redirect => "REDIRECT",
            Self::Other(name) => name,
        }
    }
}

impl From<&str> for Method {
    fn from(name: &str) -> Self {
        match name {
            "OPTIONS" => Self::Options,
            "DESCRIBE" => Self::Describe,
            "SETUP" => Self::Setup,
            "PLAY" => Self::Play,
            "PAUSE" => Self::Pause,
            "TEARDOWN" => Self::Teardown,
            "GET_PARAMETER" => Self::GetParameter,
            "SET_PARAMETER" => Self::SetParameter,
            "ANNOUNCE" => Self::Announce,
            "RECORD" => Self::Record,
            "REDIRECT" => Self::Redirect,
            _ => Self::Other(name.to_owned()),
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_is_read_back_from_its_name() {
        for name in [
            "OPTIONS",
            "DESCRIBE",
            "SETUP",
            "PLAY",
            "PAUSE",
            "TEARDOWN",
            "GET_PARAMETER",
            "SET_PARAMETER",
            "ANNOUNCE",
            "RECORD",
            "REDIRECT",
        ] {
            let method = Method::from(name);
            assert!(!matches!(method, Method::Other(_)), "{name}");
            assert_eq!(method.to_string(), name);
        }
    }

    #[test]
    fn a_lower_case_method_is_another_method() {
        assert_eq!(Method::from("options"), Method::Other("options".to_owned()));
    }
}
