//! Texts that are one of a few words: the lists are those of the code.

use std::borrow::Cow;

use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, SchemaFormat, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::codec;
use crate::vocabulary::{self, Phase};
use crate::web::api::REMOVED;
use crate::web::control;

macro_rules! words {
    ($($(#[doc = $doc:literal])+ $name:ident = $words:expr;)+) => {
        $(
            $(#[doc = $doc])+
            pub(in crate::web) struct $name;

            impl PartialSchema for $name {
                fn schema() -> RefOr<Schema> {
                    one_of($words).description(Some(concat!($($doc),+).trim())).into()
                }
            }

            impl ToSchema for $name {
                fn name() -> Cow<'static, str> {
                    stringify!($name).into()
                }
            }
        )+
    };
}

words! {
    /// idle = on demand, and nobody watches; connecting; live = packets arrive; retrying = it failed, and the next try has a
    /// time; stopped.
    State = Phase::ALL.iter().map(|phase| phase.as_str());

    /// What went wrong.
    FailureClass = vocabulary::FailureClass::ALL.iter().map(|class| class.as_str());

    /// How RTP travels.
    Transport = vocabulary::Transport::ALL.iter().map(|transport| transport.as_str());

    /// What a track is encoded with, or which kind of track it is.
    Codec = codec::Codec::ALL.iter().map(|codec| codec.name());

    /// How grave a line of the log is.
    Level = ["error", "warn", "info", "debug", "trace"];

    /// What an event tells of.
    EventName = ["streams", "stream", "removed", "viewers", "log", "alive"];

    /// What became of a stream.
    Change = control::Change::ALL.iter().map(|change| change.as_str()).chain([REMOVED]);
}

/// What is no text.
pub(in crate::web) struct File;

impl PartialSchema for File {
    fn schema() -> RefOr<Schema> {
        let binary = SchemaFormat::KnownFormat(KnownFormat::Binary);
        ObjectBuilder::new().schema_type(Type::String).format(Some(binary)).into()
    }
}

impl ToSchema for File {}

/// A text that is one of these.
pub(super) fn one_of<'w>(words: impl IntoIterator<Item = &'w str>) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(words))
}
