//! A stream's settings as somebody wrote them, to be shown without secrets and to be taken back from whoever changed them.
//!
//! `***` stands for what is not shown. Where it comes back, it is what it stood for, but for the same camera only: who may
//! change a stream must not be able to send its password elsewhere.

use serde_json::{Map, Value as Json};

use super::camera_url::CameraUrl;
use super::problems::{Problem, Problems};
use super::redact::redact;

/// The keys of one stream. How a stream was written makes no difference to it: all are equal.
#[derive(Clone, Default)]
pub struct Written {
    /// With secrets, and with what came from the environment.
    keys: Map<String, Json>,
    /// Whether something came from the environment.
    from_environment: bool,
}

/// Who stands on the way to a camera, and by what the camera is known: another one would be shown its log-in.
const WAY: [&str; 2] = ["proxy", "tls_fingerprint"];

/// In place of a secret.
const HIDDEN: &str = "***";

impl Written {
    pub(super) fn new(written: Json, from_environment: bool) -> Self {
        let keys = match written {
            Json::Object(keys) => keys,
            Json::Null => Map::new(),
            source => Map::from_iter([("source".to_owned(), source)]),
        };
        Self { keys, from_environment }
    }

    /// Whether something came from the environment, which would be lost where the keys are written anew.
    pub fn is_from_environment(&self) -> bool {
        self.from_environment
    }

    /// Takes note that what `before` had from the environment may be among these keys.
    pub fn comes_after(&mut self, before: &Self) {
        self.from_environment |= before.from_environment;
    }

    /// The keys without secrets; `None` where the stream comes from a file, which only the configuration file can name.
    pub fn shown(&self) -> Option<Json> {
        if self.keys.contains_key("file") {
            return None;
        }
        let shown = self.keys.iter().map(|(key, value)| {
            let value = match key.as_str() {
                "password" => Json::from(HIDDEN),
                "source" | "proxy" => redacted(value),
                _ => value.clone(),
            };
            (key.clone(), value)
        });
        Some(Json::Object(shown.collect()))
    }

    /// Puts the secrets of these keys into `new`, wherever it has `***` for them.
    ///
    /// # Errors
    /// It is for another camera or another way to it, or stands for nothing.
    pub fn restore(&self, new: &mut Json) -> Result<(), Problems> {
        let mut problems = Vec::new();
        let mut wrong = |key: &str, message: &str| {
            problems.push(Problem { key: key.to_owned(), message: message.to_owned() });
        };
        if let Some(Json::String(proxy)) = new.get_mut("proxy")
            && is_hidden(proxy)
        {
            match self.same("proxy", proxy) {
                Some(whole) => *proxy = whole,
                None => wrong("proxy", "`***` stands for nothing that is known of this proxy: write it out"),
            }
        }
        let goes_the_same_way = WAY.iter().all(|key| self.keys.get(*key) == new.get(*key));
        let source = match &mut *new {
            Json::Object(keys) => keys.get_mut("source"),
            source => Some(source),
        };
        for url in source.into_iter().flat_map(texts_mut).filter(|url| is_hidden(url)) {
            match self.camera(url) {
                Some(_) if !goes_the_same_way => {
                    wrong("source", "`***` is the log-in by another way to the camera: write it out");
                }
                Some(whole) => *url = whole,
                None => {
                    wrong("source", "`***` stands for nothing that is known of this camera: write it out")
                }
            }
        }
        if let Json::Object(keys) = &mut *new
            && keys.get("password").is_some_and(|password| password == HIDDEN)
        {
            match self.keys.get("password") {
                Some(_) if !goes_the_same_way || !self.leads_to_the_same(keys) => {
                    wrong(
                        "password",
                        "`***` is the password for another camera or way to it: enter it again",
                    );
                }
                Some(password) => drop(keys.insert("password".to_owned(), password.clone())),
                None => wrong("password", "`***` stands for the password of this stream, and it has none"),
            }
        }
        if problems.is_empty() { Ok(()) } else { Err(Problems(problems)) }
    }

    /// The camera's URL that `shown` is without its secrets, or one of the same place with another path.
    fn camera(&self, shown: &str) -> Option<String> {
        if let Some(same) = self.same("source", shown) {
            return Some(same);
        }
        let (_, tail) =
            shown.split_once("***@").filter(|(_, tail)| !tail.contains('@') && !is_hidden(tail))?;
        let mut known = self.keys.get("source").into_iter().flat_map(texts);
        known.find_map(|url| {
            let whole = format!("{}{tail}", &url[..=url.rfind('@')?]);
            place(&whole)
                .filter(|_| place(&whole) == place(url) && scheme(shown) == scheme(url))
                .map(|_| whole)
        })
    }

    /// What is written there and looks like this without its secrets.
    fn same(&self, key: &str, shown: &str) -> Option<String> {
        let mut known = self.keys.get(key).into_iter().flat_map(texts);
        known.find(|text| redact(text) == shown).map(str::to_owned)
    }

    /// Whether `new` has no camera that these keys do not have.
    fn leads_to_the_same(&self, new: &Map<String, Json>) -> bool {
        let before: Vec<_> = self.keys.get("source").into_iter().flat_map(texts).map(place).collect();
        let mut after = new.get("source").into_iter().flat_map(texts).map(place);
        after.all(|place| place.is_some() && before.contains(&place))
    }
}

/// Scheme, host and port of a camera, as they will be understood.
fn place(url: &str) -> Option<(String, String, Option<u16>)> {
    let camera: CameraUrl = url.parse().ok()?;
    let url = camera.url();
    Some((url.scheme().to_owned(), url.host_str()?.to_owned(), url.port()))
}

fn scheme(url: &str) -> Option<&str> {
    url.split_once("://").map(|(scheme, _)| scheme)
}

fn is_hidden(text: &str) -> bool {
    text.contains(HIDDEN)
}

/// A text, or the texts of a list.
fn texts(value: &Json) -> impl Iterator<Item = &str> {
    let list = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
    list.iter().filter_map(Json::as_str)
}

fn texts_mut(value: &mut Json) -> Vec<&mut String> {
    let list = match value {
        Json::Array(list) => list.iter_mut().collect(),
        one => vec![one],
    };
    let text = |value| match value {
        &mut Json::String(ref mut text) => Some(text),
        _ => None,
    };
    list.into_iter().filter_map(text).collect()
}

fn redacted(value: &Json) -> Json {
    match value {
        Json::String(text) => Json::from(redact(text)),
        Json::Array(list) => list.iter().map(redacted).collect(),
        other => other.clone(),
    }
}

impl PartialEq for Written {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl std::fmt::Debug for Written {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Written({})", self.shown().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::config::Config;

    fn written(yaml: &str) -> Written {
        let text = format!("streams:\n  yard: {yaml}\n");
        let environment = |name: &str| (name == "SECRET").then(|| "hunter2".to_owned());
        Config::parse(&text, &environment).unwrap().streams["yard"].written.clone()
    }

    #[test]
    fn settings_are_shown_as_they_were_written_but_for_the_secrets() {
        for (yaml, shown) in [
            ("rtsp://u:hunter2@cam/a", json!({"source": "rtsp://***@cam/a"})),
            (
                "[rtsp://cam/a, rtsp://cam/b?pwd=hunter2]",
                json!({"source": ["rtsp://cam/a", "rtsp://cam/b?pwd=***"]}),
            ),
            (
                "{source: rtsp://cam/a, username: u, password: '${SECRET}', proxy: 'http://u:hunter2@p:1', race_attempts: 3, on_demand: true, retry_min: 1s}",
                json!({
                    "source": "rtsp://cam/a", "username": "u", "password": "***", "proxy": "http://***@p:1",
                    "race_attempts": 3, "on_demand": true, "retry_min": "1s",
                }),
            ),
        ] {
            let written = written(yaml);
            assert_eq!(written.shown().unwrap(), shown);
            assert!(!format!("{written:?}").contains("hunter2"));
            assert_eq!(written.is_from_environment(), yaml.contains("${"));
        }
        assert_eq!(written("{file: a.mjpeg}").shown(), None);
    }

    #[test]
    fn what_comes_back_unchanged_is_what_it_was() {
        for yaml in [
            "rtsp://u:hunter2@cam/a",
            "[rtsp://u:hunter2@cam/a, rtsp://cam/b?pwd=hunter2]",
            "{source: rtsp://cam/a, password: '${SECRET}', proxy: 'socks5://u:hunter2@p:1'}",
        ] {
            let written = written(yaml);
            let mut back = written.shown().unwrap();
            assert_eq!(written.restore(&mut back), Ok(()), "{yaml}");
            assert_eq!(back, Json::Object(written.keys));
        }
        let open = written("rtsp://cam/a");
        let mut other = json!({"source": "rtsp://elsewhere/a", "password": "new"});
        assert_eq!(open.restore(&mut other), Ok(()));
        assert_eq!(other["password"], "new");
    }

    #[test]
    fn another_path_of_the_same_camera_keeps_its_log_in() {
        let written = written("rtsp://u:hunter2@cam:554/a");
        let mut back = json!("rtsp://***@cam:554/b?c");
        assert_eq!(written.restore(&mut back), Ok(()));
        assert_eq!(back, json!("rtsp://u:hunter2@cam:554/b?c"));
    }

    #[test]
    fn a_secret_goes_to_no_other_place() {
        let written = written(
            "{source: ['rtsp://u:hunter2@cam/a', 'rtsp://cam/b?pwd=hunter2'], password: hunter2, proxy: 'http://u:hunter2@p:1'}",
        );
        let proxy = "http://***@p:1";
        for (key, back) in [
            ("source", json!("rtsp://***@elsewhere/a")),
            ("source", json!("rtsp://***@cam#@elsewhere/a")),
            ("source", json!("rtsp://***@cam/@elsewhere/a")),
            ("source", json!("rtsp://***@cam:555/a")),
            ("source", json!("rtsps://***@cam/a")),
            ("source", json!({"source": "rtsp://elsewhere/b?pwd=***"})),
            ("source", json!({"source": ["rtsp://***@cam/a", "rtsp://***@cam.elsewhere/a"]})),
            ("proxy", json!({"source": "rtsp://cam/a", "proxy": "http://***@q:1"})),
            ("password", json!({"source": "rtsp://elsewhere/a", "password": "***", "proxy": proxy})),
            ("password", json!({"source": "rtsp://cam@elsewhere/a", "password": "***", "proxy": proxy})),
            (
                "password",
                json!({"source": ["rtsp://cam/a", "rtsp://cam:99/a"], "password": "***", "proxy": proxy}),
            ),
            ("password", json!({"source": "rtsp://cam/a", "password": "***", "proxy": "http://elsewhere:1"})),
            ("password", json!({"source": "rtsp://cam/a", "password": "***"})),
            ("source", json!({"source": "rtsp://***@cam/a", "proxy": "http://elsewhere:1"})),
            ("source", json!({"source": "rtsp://cam/b?pwd=***"})),
            ("source", json!({"source": "rtsp://***@cam/a", "proxy": proxy, "tls_fingerprint": "00"})),
            (
                "password",
                json!({"source": "rtsp://cam/a", "password": "***", "proxy": proxy, "tls_fingerprint": "00"}),
            ),
        ] {
            let mut restored = back.clone();
            let problems = written.restore(&mut restored).expect_err(&back.to_string());
            assert_eq!(problems.0[0].key, key, "{back}");
            assert!(!problems.to_string().contains("hunter2"));
        }
    }
}
