//! The seeds of every fuzz target, and all that fuzzing ever found, on every test run.

use std::fs;
use std::path::Path;

#[path = "../fuzz/targets.rs"]
mod targets;

#[test]
fn every_target_survives_its_seeds_and_all_their_cuts() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let corpora = fs::read_to_string(root.join("tests/fuzz/corpora")).unwrap();
    for (name, target) in targets::ALL {
        let folders = corpora.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        let folders = folders.unwrap_or_else(|| panic!("{name} has no line in tests/fuzz/corpora"));
        let mut seeds = 0;
        for folder in folders.split(' ') {
            for entry in fs::read_dir(root.join(folder)).unwrap_or_else(|error| panic!("{folder}: {error}")) {
                let path = entry.unwrap().path();
                if !path.is_file() || path.ends_with(".gitattributes") {
                    continue;
                }
                eprintln!("{name}: {}", path.display()); // shown when it panics
                let seed = fs::read(&path).unwrap();
                seeds += 1;
                target(&seed);
                // Cut in sixteen places: what a connection that breaks leaves.
                for part in 1..16 {
                    target(&seed[..seed.len() * part / 16]);
                }
            }
        }
        assert!(seeds >= 5, "{name} has {seeds} seeds");
    }
}

/// A target that is not built is not fuzzed.
#[test]
fn every_target_has_its_program() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz");
    let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap();
    for (name, _) in targets::ALL {
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name}");
        let program = fs::read_to_string(folder.join(format!("fuzz_targets/{name}.rs"))).unwrap();
        assert!(program.contains(&format!("targets::{name}(data)")), "{name}");
    }
}
