//! Every seed of every fuzz target, as an ordinary test: the fuzzer needs a nightly compiler, this does not.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "src/lib.rs"]
pub mod targets;

use std::fs;
use std::path::{Path, PathBuf};

use targets::TARGETS;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../fuzz")
        .join(name)
}

/// Paths in a folder, sorted.
fn paths(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

fn stems(folder: &Path) -> Vec<String> {
    let stem = |path: PathBuf| path.file_stem().unwrap().to_string_lossy().into_owned();
    paths(folder).into_iter().map(stem).collect()
}

#[test]
fn every_seed_passes_its_target() {
    for target in &TARGETS {
        let seeds = paths(&folder("seeds").join(target.name));
        assert!(
            seeds.len() >= 3,
            "{} has {} seeds",
            target.name,
            seeds.len()
        );
        for seed in seeds {
            println!("{}", seed.display());
            (target.run)(&fs::read(&seed).unwrap());
        }
    }
}

#[test]
fn every_target_has_a_file_a_folder_of_seeds_and_a_place_in_the_manifest() {
    let names: Vec<_> = TARGETS
        .iter()
        .map(|target| target.name.to_owned())
        .collect();
    assert_eq!(stems(&folder("targets")), names);
    assert_eq!(stems(&folder("seeds")), names);
    let manifest: toml::Table = fs::read_to_string(folder("Cargo.toml"))
        .unwrap()
        .parse()
        .unwrap();
    let bins = manifest["bin"].as_array().unwrap();
    let mut bins: Vec<_> = bins
        .iter()
        .map(|bin| bin["name"].as_str().unwrap())
        .collect();
    bins.sort_unstable();
    assert_eq!(bins, names);
}

/// They are in the tree for ever, and read by everyone who clones it.
#[test]
fn seeds_are_small() {
    for target in &TARGETS {
        let seeds = paths(&folder("seeds").join(target.name));
        let bytes: u64 = seeds
            .iter()
            .map(|seed| fs::metadata(seed).unwrap().len())
            .sum();
        assert!(
            bytes <= 16 * 1024,
            "{}: {bytes} bytes of seeds",
            target.name
        );
    }
}
