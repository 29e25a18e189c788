//! One medium of a camera's SDP: an `m=` line and what belongs to it.

use super::encoding::Encoding;

/// An `a=` line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribute {
    /// What stands in front of the colon, as the camera wrote it.
    pub name: String,
    /// What stands behind it, trimmed; `None` for a property such as `a=recvonly`.
    pub value: Option<String>,
}

/// Who sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Sent by the describing side only. In a camera's answer it usually marks the ONVIF back channel, seen from the client.
    SendOnly,
    /// Received only.
    RecvOnly,
    /// Both ways.
    SendRecv,
    /// Not used.
    Inactive,
}

/// An `m=` line with its attributes. Every `m=` line makes one, however broken, so that indices stay those of the SDP.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Media {
    /// The kind in lower case: `video`, `audio`, `application`, `application/mercury`; empty when missing.
    pub kind: String,
    /// The protocol in upper case, `RTP/AVP`; empty when missing.
    pub protocol: String,
    /// The payload types in order of preference. Without any on the `m=` line, those of the rtpmap lines.
    pub payload_types: Vec<u8>,
    /// `b=AS`, in kbit/s.
    pub bandwidth: Option<u32>,
    /// The `a=` lines in order.
    pub attributes: Vec<Attribute>,
}

impl Media {
    /// The encoding of the first payload type: of its rtpmap, else of the static payload type, else of an rtpmap that
    /// stands alone under a wrong number. `None` when the camera explains nothing.
    pub fn encoding(&self) -> Option<Encoding> {
        let payload_type = *self.payload_types.first()?;
        let mut maps = self.rtpmaps();
        if let Some(named) = self.rtpmaps().find(|encoding| encoding.payload_type == payload_type) {
            return Some(named);
        }
        Encoding::of_static(payload_type).or_else(|| match (maps.next(), maps.next()) {
            (Some(only), None) => Some(Encoding { payload_type, ..only }),
            _ => None,
        })
    }

    /// The parameters of a payload type: its `a=fmtp` line without the number, `None` when missing or empty.
    pub fn fmtp(&self, payload_type: u8) -> Option<&str> {
        self.fmtps().find(|(found, _)| *found == payload_type).map(|(_, parameters)| parameters)
    }

    /// The control URL, absolute or relative, as written.
    pub fn control(&self) -> Option<&str> {
        self.attribute("control").filter(|value| !value.is_empty())
    }

    /// The medium's own direction attribute.
    pub fn direction(&self) -> Option<Direction> {
        self.attributes.iter().find_map(|attribute| {
            Some(match attribute.name.to_ascii_lowercase().as_str() {
                "sendonly" => Direction::SendOnly,
                "recvonly" => Direction::RecvOnly,
                "sendrecv" => Direction::SendRecv,
                "inactive" => Direction::Inactive,
                _ => return None,
            })
        })
    }

    /// The value of the first attribute called `name` that has one; the case of the name does not matter.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        attribute(&self.attributes, name)
    }

    /// The rtpmap lines that can be read.
    pub(super) fn rtpmaps(&self) -> impl Iterator<Item = Encoding> {
        values(&self.attributes, "rtpmap").filter_map(|value| Encoding::from_rtpmap(value, &self.kind))
    }

    /// The fmtp lines that are not empty, as payload type and parameters.
    pub(super) fn fmtps(&self) -> impl Iterator<Item = (u8, &str)> {
        values(&self.attributes, "fmtp").filter_map(read_fmtp)
    }
}

/// The value of the first attribute called `name` that has one.
pub(super) fn attribute<'a>(attributes: &'a [Attribute], name: &str) -> Option<&'a str> {
    values(attributes, name).next()
}

/// Splits an fmtp value into payload type and parameters; `None` when either is missing (UniFi sends `a=fmtp:96`).
pub(super) fn read_fmtp(value: &str) -> Option<(u8, &str)> {
    let (payload_type, parameters) = value.split_once(char::is_whitespace)?;
    let parameters = parameters.trim();
    if parameters.is_empty() {
        return None;
    }
    Some((payload_type.parse().ok()?, parameters))
}

fn values<'a>(attributes: &'a [Attribute], name: &str) -> impl Iterator<Item = &'a str> {
    attributes
        .iter()
        .filter(move |attribute| attribute.name.eq_ignore_ascii_case(name))
        .filter_map(|attribute| attribute.value.as_deref())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn media(payload_types: &[u8], attributes: &[(&str, &str)]) -> Media {
        let attribute = |(name, value): &(&str, &str)| Attribute {
            name: (*name).to_owned(),
            value: (!value.is_empty()).then(|| (*value).to_owned()),
        };
        Media {
            kind: "audio".to_owned(),
            protocol: "RTP/AVP".to_owned(),
            payload_types: payload_types.to_vec(),
            attributes: attributes.iter().map(attribute).collect(),
            ..Media::default()
        }
    }

    fn name(media: &Media) -> Option<String> {
        media.encoding().map(|encoding| format!("{}/{}", encoding.name, encoding.clock_rate))
    }

    #[test]
    fn the_rtpmap_of_the_first_payload_type_counts() {
        let two = media(&[98, 96], &[("rtpmap", "96 PCMU/8000"), ("RTPMAP", "98 L16/16000")]);
        assert_eq!(name(&two).as_deref(), Some("L16/16000"));
        // A GW Security camera means what it writes: PCMU on the number of PCMA.
        assert_eq!(name(&media(&[8], &[("rtpmap", "8 PCMU/8000/1")])).as_deref(), Some("PCMU/8000"));
    }

    #[test]
    fn a_static_payload_type_wins_over_an_rtpmap_of_another_number() {
        assert_eq!(name(&media(&[8], &[("rtpmap", "0 pcmu/8000")])).as_deref(), Some("PCMA/8000"));
    }

    #[test]
    fn a_lone_rtpmap_under_a_wrong_number_counts() {
        let lone = media(&[97], &[("rtpmap", "96 L16/16000")]);
        assert_eq!(lone.encoding().map(|found| (found.payload_type, found.clock_rate)), Some((97, 16000)));
        assert_eq!(name(&media(&[97], &[("rtpmap", "96 L16/16000"), ("rtpmap", "98 OPUS/48000")])), None);
        assert_eq!(name(&media(&[97], &[])), None);
        assert_eq!(name(&media(&[], &[("rtpmap", "96 L16/16000")])), None);
    }

    #[test]
    fn the_fmtp_is_found_by_payload_type_and_an_empty_one_is_none() {
        let media =
            media(&[96], &[("fmtp", "96"), ("fmtp", "97\t a=1; b=2 "), ("fmtp", "98 "), ("control", "")]);
        assert_eq!(media.fmtp(96), None);
        assert_eq!(media.fmtp(97), Some("a=1; b=2"));
        assert_eq!(media.fmtp(98), None);
        assert_eq!(media.control(), None);
    }

    #[test]
    fn the_direction_is_known_in_any_case() {
        assert_eq!(media(&[0], &[("SendOnly", "")]).direction(), Some(Direction::SendOnly));
        assert_eq!(media(&[0], &[("control", "x")]).direction(), None);
    }
}
