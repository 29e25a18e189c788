//! The files of the page, compiled in: nothing comes from another host, and nothing is read from a disk.
//!
//! They stand under `/page/VERSION/`, where `VERSION` is a hash of all of them: a browser keeps each as long as it likes,
//! and modules that import each other by relative paths are always of one version.

use std::fmt::Write as _;
use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::{HeaderName, header};
use sha2::{Digest, Sha256};

use super::answer::Refusal;

/// A file with its headers.
pub(super) type Asset = ([(HeaderName, &'static str); 2], &'static str);

macro_rules! files {
    ($($name:literal)*) => { [$(($name, include_str!(concat!("page/", $name)))),*] };
}

/// Style sheets in the order of their rules, and modules, [`ENTRY`] first.
const FILES: &[(&str, &str)] = &files![
    "base.css" "wall.css" "detail.css" "dialog.css"
    "app.js" "api.js" "charts.js" "day.js" "detail.js" "dom.js" "facts.js" "feed.js" "fit.js" "format.js" "live.js"
    "live-audio.js" "live-canvas.js" "live-jpeg.js" "live-mp4.js" "live-mse.js" "live-numbers.js" "live-rtp.js" "live-video.js"
    "log.js" "pictures.js" "player.js" "route.js" "scale.js" "settings.js" "spells.js" "streams.js" "trouble.js"
    "viewers.js" "wall.js"
];

/// The module that runs; the others are imported, and fetched at the same time.
const ENTRY: &str = "app.js";

static VERSION: LazyLock<String> = LazyLock::new(|| {
    let mut hash = Sha256::new();
    for (name, content) in FILES {
        hash.update(name);
        hash.update(content);
    }
    hash.finalize().iter().take(6).fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a String takes everything");
        text
    })
});

/// One file. That of another version is the present one, and is not kept.
pub(super) async fn file(Path((version, name)): Path<(String, String)>) -> Result<Asset, Refusal> {
    let found = FILES.iter().find(|(file, _)| *file == name);
    let (name, content) =
        found.ok_or_else(|| Refusal::not_found(format!("the page has no file {name:?}")))?;
    let kept = if version == *VERSION { "private, max-age=31536000, immutable" } else { "no-cache" };
    Ok(([(header::CONTENT_TYPE, kind(name)), (header::CACHE_CONTROL, kept)], content))
}

/// The sign of the page, under a name that does not change.
pub(super) async fn icon() -> Asset {
    let headers = [(header::CONTENT_TYPE, kind("icon.svg")), (header::CACHE_CONTROL, "no-cache")];
    (headers, include_str!("icon.svg"))
}

/// The elements that bring the style sheets.
pub(super) fn styles() -> String {
    elements(|name| name.ends_with(".css"), "<link rel=\"stylesheet\" href=\"", "\">\n")
}

/// The elements that bring the modules.
pub(super) fn scripts() -> String {
    let imported = |name: &str| name.ends_with(".js") && name != ENTRY;
    elements(|name| name == ENTRY, "<script type=\"module\" src=\"", "\"></script>\n")
        + &elements(imported, "<link rel=\"modulepreload\" href=\"", "\">\n")
}

fn elements(wanted: impl Fn(&str) -> bool, before: &str, after: &str) -> String {
    let names = FILES.iter().map(|(name, _)| *name).filter(|name| wanted(name));
    names.map(|name| format!("{before}page/{}/{name}{after}", *VERSION)).collect()
}

fn kind(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        _ => "image/svg+xml",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_need_nothing_inline_and_nothing_from_elsewhere() {
        let html = include_str!("page/index.html");
        let quoted = ["http://www.w3.org/2000/svg", "rtsp://10.0.0.7/"]; // a name, and an example in a form
        for (name, content) in FILES.iter().chain([&("index.html", html)]) {
            let content = quoted.iter().fold((*content).to_owned(), |text, known| text.replace(known, ""));
            assert!(!content.contains("://"), "{name} names another host");
            for inline in ["innerHTML", "insertAdjacentHTML", "eval(", "new Function", "document.write"] {
                assert!(!content.contains(inline), "{name}: {inline}");
            }
        }
        for inline in ["style=", "<style", "onclick", "javascript:", "<script"] {
            assert!(!html.contains(inline), "{inline}");
        }
    }

    #[test]
    fn every_module_of_the_folder_is_served_and_whatever_is_imported_is_there() {
        let folder = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src/web/page")).unwrap();
        let mut there: Vec<_> = folder.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
        there.retain(|name| !["index.html", "package.json"].contains(&name.as_str()));
        there.sort();
        let mut served: Vec<_> = FILES.iter().map(|(name, _)| *name).collect();
        served.sort_unstable();
        assert_eq!(served, there);
        for (name, content) in FILES {
            for import in content.split("from \"./").skip(1) {
                let import = import.split('"').next().unwrap();
                assert!(served.contains(&import), "{name} imports {import}");
            }
        }
    }
}
