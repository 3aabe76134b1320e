//! Words that must not be left in the repository, and tests that must not wait.

use crate::repository::File;
use crate::{assert_tidy, over_files};

/// Folders whose files are tests or serve tests.
const TESTS: &[&str] = &[
    "tests/harness/",
    "tests/conformance/",
    "tests/scenario/",
    "tests/fault/",
];
/// Where waiting is the job: the one poll helper, which every test uses instead.
const MAY_SLEEP: &[&str] = &["tests/harness/src/poll.rs"];

/// Marks of unfinished work, made so that this file does not hold them.
fn marks() -> [String; 3] {
    [["TO", "DO"], ["FIX", "ME"], ["XX", "X"]].map(|parts| parts.concat())
}

/// Beginnings of paths that exist on one machine only.
fn machine_paths() -> [String; 3] {
    [["/ro", "ot/"], ["/ho", "me/"], ["/Us", "ers/"]].map(|parts| parts.concat())
}

fn unfinished(file: &File) -> Vec<String> {
    let is_word = |word: &str| marks().iter().any(|mark| mark == word);
    let complaint = |number| format!("{}:{number}: finish it, or write an issue", file.path);
    let words = |line: &str| line.split(|c: char| !c.is_alphanumeric()).any(is_word);
    file.lines()
        .filter(|(_, line)| words(line))
        .map(|(number, _)| complaint(number))
        .collect()
}

fn machine(file: &File) -> Vec<String> {
    let names = |line: &str| {
        machine_paths()
            .iter()
            .any(|path| line.contains(path.as_str()))
    };
    let complaint = |number| format!("{}:{number}: a path of one machine", file.path);
    file.lines()
        .filter(|(_, line)| names(line))
        .map(|(number, _)| complaint(number))
        .collect()
}

fn ignored(file: &File) -> Vec<String> {
    let mark = ["#[ign", "ore"].concat();
    let unexplained = |line: &str| {
        let after = line.split_once(&mark).map(|(_, after)| after.trim_start());
        after.is_some_and(|after| !after.starts_with("= \""))
    };
    let complaint = |number| {
        format!(
            "{}:{number}: ignored without a reason: `= \"why\"`",
            file.path
        )
    };
    let lines = file.lines().filter(|_| file.is_rust());
    lines
        .filter(|(_, line)| unexplained(line))
        .map(|(number, _)| complaint(number))
        .collect()
}

/// Sleeps in test code; with a paused clock they take no time and are allowed.
fn sleeps(file: &File) -> Vec<String> {
    if !file.is_rust()
        || MAY_SLEEP.contains(&file.path.as_str())
        || file.text.contains("start_paused = true")
    {
        return Vec::new();
    }
    let mut in_tests = TESTS.iter().any(|folder| file.path.starts_with(folder))
        || file.path.contains("/tests/")
        || file.path.ends_with("/tests.rs");
    let mut complaints = Vec::new();
    for (number, line) in file.lines() {
        in_tests |= line.starts_with("#[cfg(test)]");
        let code = line.split("//").next().unwrap_or_default();
        if in_tests && code.contains(&["sleep", "("].concat()) {
            complaints.push(format!(
                "{}:{number}: a test that sleeps: poll with a deadline, or pause the clock",
                file.path
            ));
        }
    }
    complaints
}

#[test]
fn nothing_is_marked_as_unfinished() {
    assert_tidy(&over_files(unfinished));
}

#[test]
fn no_path_of_one_machine_is_named() {
    assert_tidy(&over_files(machine));
}

#[test]
fn no_test_is_ignored_without_a_reason() {
    assert_tidy(&over_files(ignored));
}

#[test]
fn no_test_sleeps() {
    assert_tidy(&over_files(sleeps));
}

#[test]
fn these_checks_complain() {
    for mark in marks() {
        assert_eq!(
            unfinished(&File::of("a.md", &format!("// {mark}: later\n"))).len(),
            1
        );
        assert_eq!(
            unfinished(&File::of("a.md", &format!("a{mark}b\n"))).len(),
            0
        );
    }
    for path in machine_paths() {
        assert_eq!(
            machine(&File::of("a.md", &format!("see {path}x\n"))).len(),
            1
        );
    }
    let ignore = ["#[ign", "ore"].concat();
    assert_eq!(ignored(&File::of("a.rs", &format!("{ignore}]\n"))).len(), 1);
    assert_eq!(
        ignored(&File::of(
            "a.rs",
            &format!("{ignore} = \"needs a cluster\"]\n")
        ))
        .len(),
        0
    );
    let sleep = ["sleep", "(second).await"].concat();
    assert_eq!(sleeps(&File::of("tests/fault/main.rs", &sleep)).len(), 1);
    assert_eq!(
        sleeps(&File::of(
            "gateway/src/a.rs",
            &format!("#[cfg(test)]\n{sleep}")
        ))
        .len(),
        1
    );
    assert_eq!(sleeps(&File::of("gateway/src/a/tests.rs", &sleep)).len(), 1);
    assert_eq!(sleeps(&File::of("gateway/src/a.rs", &sleep)).len(), 0);
}
