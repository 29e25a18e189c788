//! What families of cameras want otherwise, as data: `config/quirks.yml` documents the form.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde::Deserialize;

use super::node::from_yaml;
use super::problems::Problems;
use super::units;
use crate::sdp::Sdp;

/// Profiles of cameras, in the order in which they are tried.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Quirks(Vec<Profile>);

/// A family of cameras, and what it wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// Its name, for people.
    pub name: String,
    /// Where the knowledge is from.
    pub source: String,
    /// What it wants.
    pub flags: Flags,
    when: When,
}

/// What a camera wants otherwise. The default is what every other camera gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// What its sign of life is.
    pub keep_alive: SignOfLife,
    /// How often it wants one.
    pub keep_alive_every: Option<Duration>,
    /// OPTIONS before DESCRIBE.
    pub options_first: bool,
    /// `RTP/AVP/UDP` instead of `RTP/AVP`.
    pub rtp_avp_udp: bool,
    /// PLAY without `Range`.
    pub no_range: bool,
    /// No TEARDOWN.
    pub no_teardown: bool,
    /// A challenge is answered once.
    pub single_challenge: bool,
}

/// The request that keeps a session alive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignOfLife {
    /// By what the camera lists.
    #[default]
    Auto,
    /// OPTIONS.
    Options,
    /// GET_PARAMETER.
    GetParameter,
    /// SET_PARAMETER.
    SetParameter,
    /// None: media is enough.
    None,
}

/// What is known of a camera so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Its URL.
    pub url: String,
    /// The header `Server`.
    pub server: String,
    /// `a=tool` of its description.
    pub tool: String,
    /// `s=` of its description.
    pub session: String,
}

impl Seen {
    /// Of a camera that has described itself; `server` is its header of that name.
    pub fn of(url: &str, server: Option<&str>, sdp: &Sdp) -> Self {
        Self {
            url: url.to_owned(),
            server: server.unwrap_or_default().to_owned(),
            tool: sdp.tool.clone().unwrap_or_default(),
            session: sdp.name.clone().unwrap_or_default(),
        }
    }
}

impl Quirks {
    /// The profiles that are compiled in.
    pub fn built_in() -> Arc<Self> {
        static BUILT_IN: OnceLock<Arc<Quirks>> = OnceLock::new();
        let read = || Arc::new(Self::parse(TEXT).expect("a test reads it"));
        Arc::clone(BUILT_IN.get_or_init(read))
    }

    /// Reads a list of profiles.
    ///
    /// # Errors
    /// The first mistake, with its line: an unknown key, a value that is none, a profile that matches everything.
    pub fn parse(text: &str) -> Result<Self, Problems> {
        let entries: Vec<Entry> = from_yaml(text)?;
        entries.into_iter().map(Entry::profile).collect::<Result<_, _>>().map(Self)
    }

    /// These before `others`, of which those of the same name are left out.
    #[must_use]
    pub fn before(mut self, others: &Self) -> Self {
        let known: Vec<String> = self.0.iter().map(|profile| profile.name.clone()).collect();
        self.0.extend(others.0.iter().filter(|profile| !known.contains(&profile.name)).cloned());
        self
    }

    /// The first profile that matches.
    pub fn find(&self, seen: &Seen) -> Option<&Profile> {
        self.0.iter().find(|profile| profile.when.matches(seen))
    }
}

/// Why the profiles of a file cannot be used.
pub(super) fn load(path: &PathBuf) -> Result<Quirks, Problems> {
    use std::io::Read as _;
    let mut text = String::new();
    let problem = |message: String| Problems::one("quirks", format!("{}: {message}", path.display()));
    std::fs::File::open(path)
        .and_then(|file| file.take(FILE_MAX + 1).read_to_string(&mut text))
        .map_err(|error| problem(format!("cannot be read: {error}")))?;
    if text.len() as u64 > FILE_MAX {
        return Err(problem(format!("longer than {} KiB", FILE_MAX >> 10)));
    }
    Quirks::parse(&text).map_err(|problems| problem(problems.to_string()))
}

/// A profile as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    source: String,
    when: When,
    #[serde(default)]
    set: Set,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct When {
    url: Option<String>,
    server: Option<String>,
    tool: Option<String>,
    session: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Set {
    keep_alive: SignOfLife,
    keep_alive_every: Option<String>,
    options_first: bool,
    rtp_avp_udp: bool,
    play_range: Option<bool>,
    teardown: Option<bool>,
    single_challenge: bool,
}

impl Entry {
    fn profile(self) -> Result<Profile, Problems> {
        let Self { name, source, when, set } = self;
        let problem = |what: &str| Problems::one(format!("profile {name}"), what);
        if when.wanted(&Seen::default()).all(|(wanted, _)| wanted.is_none_or(|text| text.trim().is_empty())) {
            return Err(problem("`when` has to say which cameras are meant: url, server, tool or session"));
        }
        let keep_alive_every = set
            .keep_alive_every
            .map(|text| units::duration(&text).map_err(|why| problem(&format!("keep_alive_every: {why}"))))
            .transpose()?;
        if keep_alive_every.is_some_and(|every| every < Duration::from_secs(1)) {
            return Err(problem("keep_alive_every: at least 1s"));
        }
        let flags = Flags {
            keep_alive: set.keep_alive,
            keep_alive_every,
            options_first: set.options_first,
            rtp_avp_udp: set.rtp_avp_udp,
            no_range: set.play_range == Some(false),
            no_teardown: set.teardown == Some(false),
            single_challenge: set.single_challenge,
        };
        Ok(Profile { name, source, flags, when })
    }
}

impl When {
    fn wanted<'a>(&'a self, seen: &'a Seen) -> impl Iterator<Item = (Option<&'a str>, &'a str)> {
        [
            (self.url.as_deref(), seen.url.as_str()),
            (self.server.as_deref(), seen.server.as_str()),
            (self.tool.as_deref(), seen.tool.as_str()),
            (self.session.as_deref(), seen.session.as_str()),
        ]
        .into_iter()
    }

    fn matches(&self, seen: &Seen) -> bool {
        let has = |text: &str, part: &str| text.to_lowercase().contains(&part.to_lowercase());
        self.wanted(seen).all(|(wanted, text)| wanted.is_none_or(|part| has(text, part)))
    }
}

const TEXT: &str = include_str!("../../config/quirks.yml");

/// A thousand profiles.
const FILE_MAX: u64 = 256 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(text: &str) -> String {
        Quirks::parse(text).unwrap_err().to_string()
    }

    #[test]
    fn the_profiles_that_are_compiled_in_say_where_they_are_from_and_set_something() {
        let quirks = Quirks::built_in();
        assert!(quirks.0.len() >= 5);
        for profile in &quirks.0 {
            assert!(profile.source.len() > 10, "{}", profile.name);
            assert_ne!(profile.flags, Flags::default(), "{}", profile.name);
        }
    }

    #[test]
    fn a_camera_is_known_by_all_that_a_profile_names() {
        let quirks = Quirks::built_in();
        let name = |seen: &Seen| quirks.find(seen).map(|profile| profile.name.clone());
        let mut seen = Seen { server: "Rtsp Server/2.0".into(), ..Seen::default() };
        assert_eq!(name(&seen), None, "Reolink and Dahua say the same");
        seen.session = "Session streamed by \"H264Server\"".into();
        assert_eq!(name(&seen).as_deref(), Some("GW"));
        let sdp = crate::sdp::parse(b"s=Session streamed by \"TP-LINK RTSP Server\"\nm=video 0 RTP/AVP 96")
            .unwrap();
        assert_eq!(name(&Seen::of("rtsp://10.0.0.7/stream1", None, &sdp)).as_deref(), Some("TP-Link"));
        let url = "rtsp://10.0.0.7/streaming/channels/101".into();
        assert_eq!(name(&Seen { url, ..Seen::default() }).as_deref(), Some("Hikvision"));
    }

    #[test]
    fn a_file_s_profiles_come_first_and_replace_those_of_the_same_name() {
        let own = "- {name: GW, source: mine, when: {server: x}, set: {teardown: false}}";
        let quirks = Quirks::parse(own).unwrap().before(&Quirks::built_in());
        assert_eq!(quirks.0.len(), Quirks::built_in().0.len());
        let found = quirks.find(&Seen { server: "X/1".into(), ..Seen::default() }).unwrap();
        assert!(found.flags.no_teardown && found.source == "mine");
    }

    #[test]
    fn a_mistake_is_told_with_its_line() {
        let begin = "- name: a\n  source: b\n  when: {server: c}\n";
        let unknown = wrong(&format!("{begin}  set:\n    keep_alife: options\n"));
        assert!(unknown.contains("line 5") && unknown.contains("keep_alife"), "{unknown}");
        let value = wrong(&format!("{begin}  set: {{keep_alive: often}}\n"));
        assert!(value.contains("line 4") && value.contains("often"), "{value}");
        assert!(wrong("- name: a\n  source: b\n  when: {}\n").contains("which cameras"));
        assert!(wrong(&format!("{begin}  set: {{keep_alive_every: 5}}")).contains("keep_alive_every"));
        assert!(wrong("- name: a\n").contains("source"));
    }
}
