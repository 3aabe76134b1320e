//! Every Rust file is short and says at its top what it is for; every crate has a README.

use crate::repository::{File, repository};
use crate::{assert_tidy, over_files};

/// Lines of the longest file that may be.
const WALL: usize = 500;

fn length(file: &File) -> Vec<String> {
    let lines = file.text.lines().count();
    if !file.is_rust() || lines <= WALL {
        return Vec::new();
    }
    vec![format!(
        "{}: {lines} lines, over {WALL}: split it by what it is about",
        file.path
    )]
}

fn top_line(file: &File) -> Vec<String> {
    let first = file.text.lines().next().unwrap_or_default();
    let says = first
        .strip_prefix("//! ")
        .is_some_and(|says| says.trim().len() > 10);
    if !file.is_rust() || says {
        return Vec::new();
    }
    vec![format!(
        "{}: the first line is to be `//! ` and what the file is for",
        file.path
    )]
}

fn readmes(files: &[File]) -> Vec<String> {
    let has = |path: &str| files.iter().any(|file| file.path == path);
    files
        .iter()
        .filter_map(|file| file.path.strip_suffix("Cargo.toml"))
        .map(|folder| format!("{folder}README.md"))
        .filter(|readme| !has(readme))
        .map(|readme| format!("{readme} is missing: what the crate is, its map, its decisions"))
        .collect()
}

#[test]
fn no_rust_file_is_over_500_lines() {
    assert_tidy(&over_files(length));
}

#[test]
fn every_rust_file_says_first_what_it_is_for() {
    assert_tidy(&over_files(top_line));
}

#[test]
fn every_crate_has_a_readme() {
    assert_tidy(&readmes(repository()));
}

#[test]
fn these_checks_complain() {
    assert_eq!(length(&File::of("a.rs", &"x\n".repeat(WALL + 1))).len(), 1);
    assert_eq!(length(&File::of("a.rs", &"x\n".repeat(WALL))).len(), 0);
    assert_eq!(length(&File::of("a.md", &"x\n".repeat(WALL + 1))).len(), 0);
    for text in [
        "",
        "use std;\n",
        "//!\n",
        "// about this file\n",
        "//! short\n",
    ] {
        assert_eq!(top_line(&File::of("a.rs", text)).len(), 1, "{text:?}");
    }
    let files = [
        File::of("a/Cargo.toml", ""),
        File::of("b/Cargo.toml", ""),
        File::of("b/README.md", ""),
    ];
    assert_eq!(readmes(&files).len(), 1);
}
