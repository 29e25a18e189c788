//! A stream's settings, as `PUT` takes them. They are read by the tables of the configuration, which a test holds this one to.

use std::borrow::Cow;

use serde_json::json;
use utoipa::openapi::schema::{
    AdditionalProperties, AnyOfBuilder, ArrayBuilder, ObjectBuilder, OneOfBuilder, SchemaFormat, SchemaType,
    Type,
};
use utoipa::openapi::{Ref, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::words::one_of;
use crate::config::{CameraUrl, ClientChoice, FastStart, Race, Retry, SlowViewer, UpstreamTransport};

/// What `PUT` takes: one camera, several, or all keys.
pub(in crate::web) struct NewStream;

impl ToSchema for NewStream {
    fn name() -> Cow<'static, str> {
        "NewStream".into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((Settings::name().into(), Settings::schema()));
    }
}

impl PartialSchema for NewStream {
    fn schema() -> RefOr<Schema> {
        let text = "A stream as in the configuration file: one camera URL, several in order of preference, or the keys of a \
                    stream. `file` is refused: the API must not open just any file of the host. `${NAME}` is plain text.";
        let keys = RefOr::Ref(Ref::from_schema_name(Settings::name()));
        OneOfBuilder::new()
            .item(camera())
            .item(cameras())
            .item(keys)
            .description(Some(text))
            .examples([json!({
                "source": "rtsp://192.0.2.7/main",
                "username": "relay",
                "password": "secret",
                "transport": "auto",
            })])
            .into()
    }
}

/// The keys of a stream.
pub(in crate::web) struct Settings;

impl ToSchema for Settings {
    fn name() -> Cow<'static, str> {
        "Settings".into()
    }
}

impl PartialSchema for Settings {
    fn schema() -> RefOr<Schema> {
        let text = "The keys of a stream that comes from a camera, as in the configuration file. A key that is left out has \
                    the value of the section `defaults` there.";
        let object = ObjectBuilder::new().description(Some(text)).required("source");
        let object = keys().into_iter().fold(object, |object, (key, schema)| object.property(key, schema));
        object.additional_properties(Some(AdditionalProperties::FreeForm(false))).into()
    }
}

/// Every key with what it takes.
fn keys() -> Vec<(&'static str, Schema)> {
    vec![
        ("source", source()),
        ("username", text("Who to log in as. Stands before what is in the URL.").into()),
        ("password", text("The password for that.").into()),
        (
            "transport",
            words(
                &UpstreamTransport::WORDS,
                "How RTP comes from the camera; auto = UDP, and TCP where that fails.",
            ),
        ),
        ("tracks", tracks()),
        (
            "client",
            words(
                &ClientChoice::WORDS,
                "Who speaks with the camera: retina (plain rtsp:// over TCP and UDP only), the relay's own client, or auto = \
                 whichever does better.",
            ),
        ),
        ("tls_fingerprint", fingerprint()),
        (
            "proxy",
            text("Who connects to the camera, by TCP: socks5://user:password@host:1080 or http://host:3128.")
                .format(Some(SchemaFormat::Custom("proxy-url".to_owned())))
                .pattern(Some("^(socks5h?|http)://."))
                .into(),
        ),
        ("source_address", address()),
        ("on_demand", flag("Connect only while somebody watches.")),
        (
            "on_demand_close_after",
            duration("How long an on-demand stream stays connected after its last viewer."),
        ),
        (
            "on_demand_warm",
            flag("While nobody watches an on-demand stream, keep a connection to the camera."),
        ),
        (
            "max_connections_per_camera",
            whole(
                0,
                1024,
                "Most connections with the camera's host, those of other streams included; 0 = any number.",
            ),
        ),
        (
            "coalesce",
            text(
                "Longest that the first packets of a frame wait for the last one, at most 20ms; 0s = never.",
            )
            .pattern(Some("^(0s|0*(1?[0-9]|20)ms)$"))
            .into(),
        ),
        ("reorder_window", duration("How long a packet that overtook others waits for them, over UDP.")),
        ("backchannel", flag("One viewer at a time may talk to the camera.")),
        ("connect_timeout", duration("Time for each step towards a playing camera, at least 100ms.")),
        ("read_timeout", duration("How long a playing camera may send no packet, at least 100ms.")),
        ("outage_grace", duration("How long viewers are kept while the camera is away.")),
        ("no_signal", flag("Show viewers of a JPEG stream a picture that says so while the camera is away.")),
        ("stall_timeout", learned_or("Time without a picture or sound before a track is suspect")),
        ("key_frame_timeout", learned_or("Time without a key frame before a video track is suspect")),
        ("race", words(&Race::WORDS, "Several attempts at a camera side by side.")),
        ("race_attempts", whole(2, 5, "How many.")),
        ("race_stagger", duration("Time between the start of one and the next.")),
        ("standby", flag("Keep a session on a second source while one delivers.")),
        ("retry", words(&Retry::WORDS, "How pauses between attempts grow.")),
        (
            "retry_min",
            duration("Shortest pause before a new attempt, at least 10ms and at most `retry_max`."),
        ),
        ("retry_max", duration("Longest pause between two attempts, at least 10ms.")),
        ("fast_start", words(&FastStart::WORDS, "What a viewer gets right after PLAY.")),
        ("slow_viewer", words(&SlowViewer::WORDS, "What becomes of a viewer that cannot keep up.")),
        ("max_lag", duration("How old a packet may be when it goes to a viewer, at least 200ms.")),
        (
            "gop_cache_size",
            size("Most bytes that the pictures since the newest key frame may take, up to 1GiB."),
        ),
        ("gop_cache_age", duration("How far back they may reach.")),
        ("multicast", multicast()),
        (
            "capture_size",
            size("Most bytes that the incident recorder keeps of packets, up to 64MiB; 0B = it is off."),
        ),
        ("capture_age", duration("How far back it reaches, at least 1s.")),
    ]
}

fn text(description: &str) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String).description(Some(description))
}

fn words<T>(words: &[(&str, T)], description: &str) -> Schema {
    one_of(words.iter().map(|(word, _)| *word)).description(Some(description)).into()
}

fn flag(description: &str) -> Schema {
    ObjectBuilder::new().schema_type(Type::Boolean).description(Some(description)).into()
}

fn whole(least: usize, most: usize, description: &str) -> Schema {
    ObjectBuilder::new()
        .schema_type(Type::Integer)
        .minimum(Some(least))
        .maximum(Some(most))
        .description(Some(description))
        .into()
}

/// Bounds stand in the description: there is no other place for those of a text.
fn duration(description: &str) -> Schema {
    let description = format!("{description} A number with its unit, ms, s, m or h, or several, up to 168h.");
    text(&description)
        .format(Some(SchemaFormat::Custom("time-span".to_owned())))
        .pattern(Some("^([0-9]+(ms|s|m|h))+$"))
        .examples([json!("1m30s")])
        .into()
}

fn learned_or(description: &str) -> Schema {
    let description =
        format!("{description}: a number with its unit, at least 200ms, or auto = learned from its rhythm.");
    text(&description)
        .format(Some(SchemaFormat::Custom("time-span".to_owned())))
        .pattern(Some("^(auto|([0-9]+(ms|s|m|h))+)$"))
        .examples([json!("auto")])
        .into()
}

fn size(description: &str) -> Schema {
    let description = format!("{description} A number with its unit: B, kB, MB, GB, KiB, MiB or GiB.");
    text(&description)
        .format(Some(SchemaFormat::Custom("size".to_owned())))
        .pattern(Some("^[0-9]+ *([KMGkmg][Ii]?)?[Bb]$"))
        .examples([json!("8MiB")])
        .into()
}

fn camera() -> Schema {
    text("The URL of a camera.")
        .format(Some(SchemaFormat::Custom("camera-url".to_owned())))
        .pattern(Some(
            "^\\s*([Rr][Tt][Ss][Pp]([SsXx]|[Ss]?\\+[Hh][Tt][Tt][Pp]|\\+[Hh][Tt][Tt][Pp][Ss])?)://.",
        ))
        .max_length(Some(CameraUrl::MAX))
        .examples([json!("rtsp://192.0.2.7/main")])
        .into()
}

fn cameras() -> Schema {
    ArrayBuilder::new().items(RefOr::T(camera())).min_items(Some(1)).into()
}

fn source() -> Schema {
    let text = "Where the stream comes from: a camera, or several in order of preference.";
    OneOfBuilder::new().item(camera()).item(cameras()).description(Some(text)).into()
}

fn tracks() -> Schema {
    let track = || {
        OneOfBuilder::new()
            .item(one_of(["video", "audio", "application"]))
            .item(ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0)).maximum(Some(63)))
    };
    let list = ArrayBuilder::new().items(track()).min_items(Some(1));
    let text = "The tracks that are relayed, by kind or by number; the others are not set up at the camera.";
    OneOfBuilder::new().item(track()).item(list).description(Some(text)).into()
}

fn fingerprint() -> Schema {
    text("The SHA-256 of the only certificate that is taken over TLS, with or without colons.")
        .pattern(Some("^([0-9A-Fa-f]{2}:?){31}[0-9A-Fa-f]{2}$"))
        .into()
}

fn address() -> Schema {
    let address = |format: &str| {
        ObjectBuilder::new().schema_type(Type::String).format(Some(SchemaFormat::Custom(format.to_owned())))
    };
    let text = "The address of this host to connect from.";
    AnyOfBuilder::new().item(address("ipv4")).item(address("ipv6")).description(Some(text)).into()
}

fn multicast() -> Schema {
    let text = "Whether viewers may have the stream by multicast: true, false, or a group of its own such as 239.255.1.2 or \
                239.255.1.2:8002 (an even port).";
    let types = SchemaType::from_iter([Type::Boolean, Type::String]);
    ObjectBuilder::new()
        .schema_type(types)
        .format(Some(SchemaFormat::Custom("multicast-group".to_owned())))
        .description(Some(text))
        .into()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;
    use crate::config::{Defaults, Stream};

    #[test]
    fn every_key_of_the_configuration_is_described_and_no_other() {
        let described: Vec<&str> = keys().into_iter().map(|(key, _)| key).collect();
        let unique: BTreeSet<&str> = described.iter().copied().collect();
        assert_eq!(unique.len(), described.len());
        assert_eq!(unique, Stream::camera_keys().collect());
    }

    /// What is described as possible is possible, numbers at their bounds as well.
    #[test]
    fn described_values_are_taken_and_others_are_not() {
        let is_taken = |key: &str, value: &Value| {
            // Long, for `retry_min` may not be longer.
            let mut stream = json!({"source": "rtsp://127.0.0.1/", "retry_max": "1h"});
            stream[key] = value.clone();
            Stream::from_json(&stream, &Defaults::default()).is_ok()
        };
        for (key, schema) in keys() {
            let schema = serde_json::to_value(schema).unwrap();
            for word in schema["enum"].as_array().into_iter().flatten() {
                assert!(is_taken(key, word), "{key}: {word}");
            }
            for example in schema["examples"].as_array().into_iter().flatten() {
                assert!(is_taken(key, example), "{key}: {example}");
            }
            if let (Some(least), Some(most)) = (schema["minimum"].as_u64(), schema["maximum"].as_u64()) {
                assert!(is_taken(key, &json!(least)) && is_taken(key, &json!(most)), "{key}");
                assert!(!is_taken(key, &json!(most + 1)), "{key}");
            }
            if schema["type"] == "boolean" {
                assert!(is_taken(key, &json!(true)) && !is_taken(key, &json!(1)), "{key}");
            }
            assert!(!is_taken(key, &json!({})), "{key}");
        }
    }
}
