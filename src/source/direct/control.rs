//! Which URIs requests go to: base, aggregate and tracks, as cameras spell them.
//!
//! RFC 2326 appendix C.1 resolves controls like RFC 3986, cameras mean something else: the control appended to the base,
//! whatever slashes and queries there are. Where more than one reading makes sense, the usual one comes first, and the
//! others are tried when the camera refuses it.

use crate::rtsp::Headers;

/// The URIs of a described stream.
#[derive(Clone, Debug, Default)]
pub(super) struct Uris {
    request: String,
    base: String,
    aggregate: String,
}

impl Uris {
    /// From the answer to DESCRIBE of `request`, and the session's `a=control`.
    pub(super) fn new(request: &str, headers: &Headers, control: Option<&str>) -> Self {
        let named = ["Content-Base", "Content-Location"];
        let base = named.iter().filter_map(|name| headers.get(name)).find(|value| !value.is_empty());
        let base = base.map_or_else(|| request.to_owned(), |base| rebased(request, base));
        let aggregate = match control {
            None | Some("*" | "") => base.clone(),
            Some(control) if is_absolute(control) => repaired(control),
            Some(control) => appended(&base, control),
        };
        Self { request: request.to_owned(), base, aggregate }
    }

    /// Where the whole presentation is played, at most 4 spellings.
    pub(super) fn aggregate(&self) -> Vec<String> {
        let mut uris = vec![self.aggregate.clone()];
        // PTZOptics answers 405 to the slash at the end.
        add(
            &mut uris,
            match self.aggregate.strip_suffix('/') {
                Some(without) => without.to_owned(),
                None => format!("{}/", self.aggregate),
            },
        );
        add(&mut uris, self.base.clone());
        add(&mut uris, self.request.clone());
        uris
    }

    /// Where the track with this control is set up, at most 5 spellings.
    pub(super) fn track(&self, control: Option<&str>) -> Vec<String> {
        let control = match control {
            None | Some("*" | "") => return self.aggregate(),
            Some(control) => control,
        };
        let mut uris = Vec::new();
        if is_absolute(control) {
            let uri = repaired(control);
            let (_, path) = split(&uri);
            let (origin, _) = split(&self.request);
            uris.push(uri.clone());
            // A camera behind a port forwarding names itself as it knows itself.
            add(&mut uris, format!("{origin}{path}"));
            return uris;
        }
        // ffmpeg resolves against an absolute session control, live555 against the base.
        let base = if is_absolute(&self.aggregate) { &self.aggregate } else { &self.base };
        add(&mut uris, appended(base, control));
        if let Some((path, query)) = base.split_once('?') {
            add(&mut uris, format!("{}?{query}", appended(path, control)));
        }
        let (origin, path) = split(base);
        if control.starts_with('/') {
            add(&mut uris, format!("{origin}{control}"));
        } else if !base.ends_with('/') {
            let folder = path
                .split('?')
                .next()
                .and_then(|path| path.rsplit_once('/'))
                .map_or("", |(folder, _)| folder);
            add(&mut uris, format!("{origin}{folder}/{control}"));
        }
        add(&mut uris, appended(&self.base, control));
        uris.truncate(4);
        // The base may be another camera's, left over from a copied configuration.
        add(&mut uris, appended(&self.request, control));
        uris
    }
}

/// A redirect's target, absolute even where the camera gives only a path. `None` if it is empty.
pub(super) fn redirected(request: &str, location: &str) -> Option<String> {
    let location = location.trim();
    (!location.is_empty()).then(|| rebased(request, location))
}

/// A URI without the flag that makes a UniFi send SRTP (C53), which nobody here decrypts.
pub(super) fn without_srtp(uri: &str) -> String {
    let Some((path, query)) = uri.split_once('?') else { return uri.to_owned() };
    let kept: Vec<&str> = query
        .split('&')
        .filter(|part| !part.split('=').next().unwrap_or_default().eq_ignore_ascii_case("enableSrtp"))
        .collect();
    if kept.is_empty() { path.to_owned() } else { format!("{path}?{}", kept.join("&")) }
}

fn add(uris: &mut Vec<String>, uri: String) {
    if !uris.contains(&uri) {
        uris.push(uri);
    }
}

fn is_absolute(uri: &str) -> bool {
    uri.contains("://")
}

/// `scheme://authority`, and the rest: path and query.
fn split(uri: &str) -> (&str, &str) {
    let authority = uri.find("://").map_or(0, |at| at + 3);
    let end = uri[authority..].find(['/', '?']).map_or(uri.len(), |at| authority + at);
    uri.split_at(end)
}

fn host(origin: &str) -> &str {
    let authority = origin.split_once("://").map_or(origin, |(_, authority)| authority);
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    }
}

/// The base a camera names, made absolute.
fn rebased(request: &str, base: &str) -> String {
    let (origin, _) = split(request);
    if base.starts_with('/') {
        return format!("{origin}{base}");
    }
    let base = if is_absolute(base) {
        repaired(base)
    } else if base.split('/').next().is_some_and(|first| first.contains(['.', ':'])) {
        // Anjvision leaves the scheme out.
        format!("rtsp://{base}")
    } else {
        return appended(request, base);
    };
    // Reolink leaves the port out: the connection's authority stands.
    let (its, path) = split(&base);
    if its != origin && host(its).eq_ignore_ascii_case(host(origin)) && host(its).len() + 7 == its.len() {
        return format!("{origin}{path}");
    }
    base
}

/// An absolute URI without what some firmwares double or leave in: `rtsp://rtsp://…`, `rtsp://::ffff:10.0.0.7/…`.
fn repaired(uri: &str) -> String {
    let mut uri = uri.trim();
    while let Some((_, rest)) = uri.split_once("://")
        && (rest.starts_with("rtsp://") || rest.starts_with("rtsps://"))
    {
        uri = rest;
    }
    let mapped =
        uri.split_once("://").and_then(|(scheme, rest)| Some((scheme, rest.strip_prefix("::ffff:")?)));
    match mapped {
        Some((scheme, rest)) => format!("{scheme}://{rest}"),
        None => uri.to_owned(),
    }
}

/// The control behind the base, with one slash between them.
fn appended(base: &str, control: &str) -> String {
    if control.starts_with('?') {
        return format!("{base}{control}");
    }
    format!("{}/{}", base.trim_end_matches('/'), control.trim_start_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uris(request: &str, base: Option<&str>, control: Option<&str>) -> Uris {
        let mut headers = Headers::new();
        if let Some(base) = base {
            headers.push("Content-Base", base);
        }
        Uris::new(request, &headers, control)
    }

    #[test]
    fn a_track_is_set_up_where_cameras_mean_it() {
        let request = "rtsp://10.0.0.7:8554/live";
        for (base, session, track, expected) in [
            // Everybody.
            (
                Some("rtsp://10.0.0.7:8554/live/"),
                Some("*"),
                "trackID=1",
                "rtsp://10.0.0.7:8554/live/trackID=1",
            ),
            (None, None, "trackID=1", "rtsp://10.0.0.7:8554/live/trackID=1"),
            // C02: an empty Content-Base.
            (Some(""), None, "track1", "rtsp://10.0.0.7:8554/live/track1"),
            // C55: Reolink leaves the port out.
            (Some("rtsp://10.0.0.7/live/"), None, "track1", "rtsp://10.0.0.7:8554/live/track1"),
            // C56: no scheme, or only a path.
            (Some("10.0.0.9:554/main/"), None, "track1", "rtsp://10.0.0.9:554/main/track1"),
            (Some("/main/"), None, "track1", "rtsp://10.0.0.7:8554/main/track1"),
            // C57: doubled schemes and mapped addresses.
            (None, None, "rtsp://rtsp://10.0.0.7/t1", "rtsp://10.0.0.7/t1"),
            (None, None, "rtsp://::ffff:10.0.0.7:554/t1", "rtsp://10.0.0.7:554/t1"),
            (Some("rtsp://rtsp://10.0.0.7:8554/x/"), None, "t1", "rtsp://10.0.0.7:8554/x/t1"),
            // C58: a slash in front of the control.
            (Some("rtsp://10.0.0.7:8554/live/"), None, "/t1", "rtsp://10.0.0.7:8554/live/t1"),
            // C53, Axis: the control goes behind the query.
            (
                Some("rtsp://10.0.0.7:8554/m.amp?a=b"),
                None,
                "trackID=1",
                "rtsp://10.0.0.7:8554/m.amp?a=b/trackID=1",
            ),
            // Hikvision: everything is absolute.
            (
                None,
                Some("rtsp://10.0.0.7/S/101/"),
                "rtsp://10.0.0.7/S/101/trackID=1?x=y",
                "rtsp://10.0.0.7/S/101/trackID=1?x=y",
            ),
            (None, Some("rtsp://10.0.0.7/S/101/"), "trackID=1", "rtsp://10.0.0.7/S/101/trackID=1"),
        ] {
            let found = uris(request, base, session).track(Some(track));
            assert_eq!(found[0], expected, "{base:?} {session:?} {track}");
            assert!(found.len() <= 5);
        }
    }

    #[test]
    fn what_may_be_meant_otherwise_is_tried_next() {
        let plain = uris("rtsp://h/a/b", None, None);
        assert_eq!(plain.track(Some("t")), ["rtsp://h/a/b/t", "rtsp://h/a/t"]);
        assert_eq!(plain.track(Some("/t")), ["rtsp://h/a/b/t", "rtsp://h/t"]);
        assert_eq!(plain.track(Some("rtsp://x:5/t")), ["rtsp://x:5/t", "rtsp://h/t"]);
        assert_eq!(plain.track(None), plain.aggregate());
        let query = uris("rtsp://h/a?q", None, None);
        assert_eq!(query.track(Some("t")), ["rtsp://h/a?q/t", "rtsp://h/a/t?q", "rtsp://h/t"]);
    }

    #[test]
    fn the_whole_is_played_with_and_without_the_slash() {
        assert_eq!(uris("rtsp://h/a", Some("rtsp://h/a/"), None).aggregate(), ["rtsp://h/a/", "rtsp://h/a"]);
        assert_eq!(
            uris("rtsp://h/a", None, Some("sub")).aggregate(),
            ["rtsp://h/a/sub", "rtsp://h/a/sub/", "rtsp://h/a"]
        );
    }

    #[test]
    fn a_redirect_may_be_a_path() {
        assert_eq!(redirected("rtsp://h:1/a", " /b ").as_deref(), Some("rtsp://h:1/b"));
        assert_eq!(redirected("rtsp://h:1/a", "rtsp://i/b").as_deref(), Some("rtsp://i/b"));
        assert_eq!(redirected("rtsp://h:1/a", " "), None);
    }
}
