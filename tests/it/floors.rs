//! The floors of the crate, held: imports only go down, and the lower floors stay free of sockets, clocks and locks.
//!
//! The sources are read as text. That is enough for code that is formatted by rustfmt and not out to cheat, and it
//! names file and line without a compiler.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// Every top-level module and its floor; the table in the documentation of `src/lib.rs` tells what each may do.
const FLOORS: &[(&str, u8)] = &[
    ("main", 6),
    ("app", 5),
    ("cli", 5),
    ("source", 4),
    ("server", 4),
    ("web", 4),
    ("access", 3),
    ("hub", 3),
    ("workers", 3),
    ("config", 2),
    ("journal", 2),
    ("metrics", 2),
    ("spans", 2),
    ("tls", 2),
    ("rtp", 1),
    ("rtsp", 1),
    ("sdp", 1),
    ("codec", 1),
    ("jpeg", 1),
    ("vocabulary", 0),
];

/// From this floor up the modules of a floor know nothing of each other; below, only cycles are refused.
const STRANGERS_FROM: u8 = 4;

/// Words that floors up to the given one must not contain.
const FORBIDDEN: &[(u8, &[&str])] = &[
    (1, &["tokio", "std::fs", "Instant::now", "SystemTime::now", "Mutex", "RwLock"]),
    (3, &["TcpStream", "TcpListener", "UdpSocket"]),
];

#[test]
fn imports_only_go_down() {
    let mut sources = Vec::new();
    collect(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")), "", &mut sources);
    assert!(sources.iter().any(|source| source.path == "vocabulary.rs"), "the sources are found");
    let problems = check(&sources);
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

/// The table above and the one people read are the same.
#[test]
fn the_documented_table_is_the_one_that_is_held() {
    let documentation = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/src/lib.rs")).unwrap();
    let mut documented = BTreeMap::new();
    for line in documentation.lines() {
        let mut cells = line.split('|').skip(1);
        let Some(Ok(floor)) = cells.next().map(|cell| cell.trim().parse::<u8>()) else { continue };
        for link in cells.next().unwrap_or_default().split("[`").skip(1) {
            documented.insert(link.split('`').next().unwrap_or_default(), floor);
        }
    }
    assert!(documented.len() > 10, "the table is found: {documented:?}");
    for (module, floor) in documented {
        assert_eq!(floor_of(module), Some(floor), "floor of {module}");
    }
}

/// One file below `src`, by its path from there, with `/`.
struct Source {
    path: String,
    text: String,
}

impl Source {
    /// The module path of the file: `["rtp", "header"]` for `rtp/header.rs`, empty for `lib.rs`.
    fn modules(&self) -> Vec<&str> {
        let path = self.path.trim_end_matches(".rs").trim_end_matches("/mod");
        path.split('/').filter(|name| *name != "lib").collect()
    }

    /// A file that is all tests, declared by a `#[cfg(test)] mod`.
    fn is_test(&self) -> bool {
        self.path.ends_with("/tests.rs") || self.path.contains("/tests/")
    }
}

fn collect(folder: &Path, prefix: &str, sources: &mut Vec<Source>) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let path = format!("{prefix}{}", entry.file_name().to_str().unwrap());
        if entry.file_type().unwrap().is_dir() {
            collect(&entry.path(), &format!("{path}/"), sources);
        } else if path.ends_with(".rs") {
            sources.push(Source { path, text: fs::read_to_string(entry.path()).unwrap() });
        }
    }
}

fn floor_of(module: &str) -> Option<u8> {
    FLOORS.iter().find(|(name, _)| *name == module).map(|(_, floor)| *floor)
}

/// Every breach, as `src/FILE:LINE: what is wrong`.
fn check(sources: &[Source]) -> Vec<String> {
    let mut problems = Vec::new();
    let mut same_floor: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for source in sources.iter().filter(|source| !source.is_test()) {
        let modules = source.modules();
        let Some(&module) = modules.first() else { continue }; // lib.rs declares modules, no more
        let Some(floor) = floor_of(module) else {
            problems.push(format!("src/{}: module `{module}` is not in the table of floors", source.path));
            continue;
        };
        let code = code_of(&source.text);
        let at = |offset: usize| format!("src/{}:{}", source.path, line_of(&code, offset));
        for (offset, target) in crate_imports(&code, modules.len()) {
            let at = at(offset);
            match floor_of(&target) {
                _ if target == module => {}
                None => problems.push(format!("{at}: `{target}` is not a module in the table of floors")),
                Some(other) if other > floor => {
                    problems
                        .push(format!("{at}: `{module}` (floor {floor}) imports `{target}` (floor {other})"));
                }
                Some(other) if other == floor && floor >= STRANGERS_FROM => {
                    problems.push(format!("{at}: `{module}` and `{target}` are on floor {floor}: strangers"));
                }
                Some(other) if other == floor => {
                    same_floor.entry(module).or_default().insert(target);
                }
                Some(_) => {}
            }
        }
        for (_, words) in FORBIDDEN.iter().filter(|(up_to, _)| floor <= *up_to) {
            for (offset, word) in words.iter().flat_map(|word| occurrences(&code, word)) {
                problems.push(format!("{}: `{word}` on floor {floor}", at(offset)));
            }
        }
        if floor <= 1 {
            let from_std = roots(&code, "std::").into_iter().filter(|(_, name)| name == "fs");
            problems
                .extend(from_std.map(|(offset, _)| format!("{}: `std::fs` on floor {floor}", at(offset))));
        }
    }
    problems.sort();
    problems.dedup();
    problems
        .extend(cycle(&same_floor).map(|path| format!("modules of one floor import in a circle: {path}")));
    problems
}

/// The text without comments and test modules, every byte in its place: removed text becomes spaces.
fn code_of(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut lines = text.split_inclusive('\n').peekable();
    while let Some(line) = lines.next() {
        let starts_tests = line.trim() == "#[cfg(test)]"
            && lines.peek().is_some_and(|next| next.starts_with("mod ") && next.trim_end().ends_with('{'));
        if starts_tests {
            break; // tests are at the bottom of the file
        }
        let comment = if line.trim_start().starts_with("//") { Some(0) } else { line.find(" // ") };
        let (kept, blank) = line.split_at(comment.unwrap_or(line.len()));
        code.push_str(kept);
        code.extend(blank.bytes().map(|byte| if byte == b'\n' { '\n' } else { ' ' }));
    }
    code
}

/// The top-level modules a file names through `crate::`, `fanlight::` or enough `super::`, each with its place.
fn crate_imports(code: &str, depth: usize) -> Vec<(usize, String)> {
    let up = "super::".repeat(depth);
    ["crate::", "fanlight::", up.as_str()].iter().flat_map(|root| roots(code, root)).collect()
}

/// The first path segments after `root`, those of a `{group}` included.
fn roots(code: &str, root: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (offset, _) in occurrences(code, root) {
        let rest = &code[offset + root.len()..];
        if !rest.starts_with('{') {
            found.push((offset, identifier(rest)));
            continue;
        }
        let mut depth = 0;
        for (i, c) in rest.char_indices() {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                break;
            }
            if depth == 1 && (c == '{' || c == ',') {
                let entry = rest[i + 1..].trim_start();
                found.push((code.len() - entry.len(), identifier(entry)));
            }
        }
    }
    found.retain(|(_, name)| !matches!(name.as_str(), "" | "self"));
    found
}

fn identifier(text: &str) -> String {
    text.chars().take_while(|c| is_word(*c)).collect()
}

/// Where `word` stands in `code` as a word of its own, not as part of a longer one or of a longer path.
fn occurrences<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = (usize, &'a str)> {
    code.match_indices(word).filter(move |(offset, _)| {
        let before = code[..*offset].chars().next_back();
        let after = code[offset + word.len()..].chars().next();
        let path = word.ends_with("::") && before == Some(':');
        !before.is_some_and(is_word) && !path && (word.ends_with(':') || !after.is_some_and(is_word))
    })
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn line_of(code: &str, offset: usize) -> usize {
    code[..offset].matches('\n').count() + 1
}

/// A circle among the imports, as `a -> b -> a`.
fn cycle(imports: &BTreeMap<&str, BTreeSet<String>>) -> Option<String> {
    fn walk<'a>(
        module: &'a str,
        path: &mut Vec<&'a str>,
        imports: &'a BTreeMap<&str, BTreeSet<String>>,
    ) -> Option<String> {
        if let Some(start) = path.iter().position(|seen| *seen == module) {
            return Some([&path[start..], &[module]].concat().join(" -> "));
        }
        path.push(module);
        let found = imports.get(module).into_iter().flatten().find_map(|next| walk(next, path, imports));
        path.pop();
        found
    }
    imports.keys().find_map(|module| walk(module, &mut Vec::new(), imports))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(files: &[(&str, &str)]) -> Vec<String> {
        let source = |(path, text): &(&str, &str)| Source { path: (*path).into(), text: (*text).into() };
        check(&files.iter().map(source).collect::<Vec<_>>())
    }

    #[test]
    fn imports_down_and_within_a_module_are_fine() {
        let files = [
            (
                "server/mod.rs",
                "use crate::hub::Hub;\nuse super::hub;\nuse crate::{rtp, rtsp::{Head, Body}};\n",
            ),
            (
                "server/session.rs",
                "use super::Server;\nuse super::super::hub::Hub;\nuse crate::server::Limits;\n",
            ),
            ("hub.rs", "use crate::vocabulary::TrackId;\nuse tokio::sync::broadcast;\n"),
            ("sdp.rs", "use crate::codec::Codec;\n"),
            ("main.rs", "use fanlight::app;\nuse fanlight::cli::Args;\n"),
            ("lib.rs", "pub mod server;\n"),
        ];
        assert_eq!(problems(&files), Vec::<String>::new());
    }

    #[test]
    fn an_import_upwards_is_named_with_file_and_line() {
        let expected = ["src/hub.rs:3: `hub` (floor 3) imports `server` (floor 4)"];
        assert_eq!(problems(&[("hub.rs", "\n\nuse crate::server::Server;\n")]), expected);
        assert_eq!(problems(&[("hub.rs", "\n\nuse super::server::Server;\n")]), expected);
        assert_eq!(
            problems(&[("hub.rs", "use crate::{\n    rtp::{Packet},\n    server::Server,\n};\n")]),
            expected
        );
        assert_eq!(problems(&[("hub.rs", "\nfn f() {\n    crate::server::run() // why\n}\n")]), expected);
        let deep = problems(&[("hub/ring.rs", "use super::super::server;\n")]);
        assert_eq!(deep, ["src/hub/ring.rs:1: `hub` (floor 3) imports `server` (floor 4)"]);
    }

    #[test]
    fn the_upper_floors_are_strangers_to_each_other() {
        for (file, import) in [("web.rs", "source"), ("source/mod.rs", "server"), ("app.rs", "cli")] {
            let found = problems(&[(file, &format!("use crate::{import}::X;"))]);
            assert!(found.len() == 1 && found[0].contains("strangers"), "{file}: {found:?}");
        }
    }

    #[test]
    fn lower_floors_may_import_peers_but_not_in_a_circle() {
        let sdp = ("sdp.rs", "use crate::codec::Codec;");
        let codec = ("codec.rs", "use crate::jpeg::Frame;");
        assert_eq!(problems(&[sdp, codec]), Vec::<String>::new());
        let both = ("sdp.rs", "use crate::{codec, jpeg};");
        assert_eq!(problems(&[both, codec, ("rtsp.rs", "use crate::{codec, sdp};")]), Vec::<String>::new());
        let found = problems(&[sdp, codec, ("jpeg.rs", "use crate::sdp::Media;")]);
        assert_eq!(found, ["modules of one floor import in a circle: codec -> jpeg -> sdp -> codec"]);
    }

    #[test]
    fn the_pure_floors_have_no_sockets_clocks_locks_or_files() {
        let lines = [
            "use tokio::time::sleep;",
            "use std::net::{IpAddr, UdpSocket};",
            "use std::fs;",
            "use std::{\n    fs, io};",
            "fn f() { std::fs::read(path) }",
            "let now = Instant::now();",
            "let now = std::time::SystemTime::now();",
            "use std::sync::{Arc, Mutex};",
            "static X: RwLock<u8> = RwLock::new(0);",
        ];
        for line in lines {
            assert!(!problems(&[("rtp.rs", line)]).is_empty(), "{line}");
        }
        let fine = "// a comment on tokio and Mutex\nuse std::time::Instant;\nfn f(now: Instant) {}\nlet tokio_like = 1;\n";
        assert_eq!(problems(&[("rtp.rs", fine)]), Vec::<String>::new());
        assert_eq!(problems(&[("config.rs", "use std::fs;")]), Vec::<String>::new());
        assert_eq!(problems(&[("config.rs", "use tokio::net::TcpStream;")]).len(), 1);
    }

    #[test]
    fn tests_may_import_what_they_like_and_do_not_hide_the_rest() {
        let tests = "#[cfg(test)]\nmod tests {\n    use crate::server::Server;\n}\n";
        assert_eq!(problems(&[("rtp.rs", tests), ("rtp/tests.rs", "use tokio::net;")]), Vec::<String>::new());
        let hidden = "#[cfg(test)]\nmod tests;\n#[cfg(test)]\nuse std::fmt;\nuse crate::server::Server;\n";
        assert_eq!(
            problems(&[("rtp.rs", hidden)]),
            ["src/rtp.rs:5: `rtp` (floor 1) imports `server` (floor 4)"]
        );
    }

    #[test]
    fn an_unknown_module_is_a_problem() {
        assert_eq!(
            problems(&[("util.rs", "")]),
            ["src/util.rs: module `util` is not in the table of floors"]
        );
        let found = problems(&[("hub.rs", "use crate::Anything;")]);
        assert_eq!(found, ["src/hub.rs:1: `Anything` is not a module in the table of floors"]);
    }
}
