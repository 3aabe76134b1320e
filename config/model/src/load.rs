//! Reading and compiling in one go, so that a type error in one object does not hide a broken rule in another.

use std::collections::HashMap;

use crate::compile::{CompileOptions, Compiled, DANGLES, compile};
use crate::problem::{Problem, Problems};
use crate::read::{Reading, SourceFile, read_all};

/// Reads files and compiles what they hold: what [`crate::read()`] and [`compile()`] do, with the problems of both.
///
/// # Errors
/// Every problem of every file. What only follows from a problem already given is left out: a rule about a field that
/// could not be read, and, while some document could not be read at all, references to objects that are not there.
pub fn load(files: &[SourceFile], options: &CompileOptions) -> Result<Compiled, Problems> {
    let Reading {
        objects,
        mut problems,
        is_complete,
        lost,
    } = read_all(files);
    match compile(&objects, options) {
        Ok(compiled) => Problems::or(problems, compiled),
        Err(broken) if problems.is_empty() => Err(broken),
        Err(Problems(broken)) => {
            let mut paths: HashMap<_, Vec<&str>> = HashMap::new();
            for problem in &problems {
                paths
                    .entry(object(problem))
                    .or_default()
                    .push(&problem.path);
            }
            let is_news = |rule: &Problem| {
                let dangles = rule.message.starts_with(DANGLES);
                let known = paths
                    .get(&object(rule))
                    .map(Vec::as_slice)
                    .unwrap_or_default();
                (!dangles || is_complete && !lost.iter().any(|object| is_about(rule, object)))
                    && !known.iter().any(|path| explains(path, rule))
            };
            let news: Vec<_> = broken.into_iter().filter(is_news).collect();
            problems.extend(news);
            Err(Problems::new(problems))
        }
    }
}

/// Whether what dangles is a reference to this object, which is there but could not be read.
fn is_about(rule: &Problem, (kind, name): &(String, String)) -> bool {
    rule.message.contains(&format!(" {kind} "))
        && rule.message.contains(&format!("/{name} in the files"))
}

/// File, kind and name of an object: labels differ in that only compiling knows the default namespace.
fn object(problem: &Problem) -> (String, Option<(String, String)>) {
    let object = problem.object.as_deref().and_then(|label| {
        let (kind, name) = label.split_once(' ')?;
        Some((
            kind.to_owned(),
            name.rsplit('/').next().unwrap_or(name).to_owned(),
        ))
    });
    (problem.file.clone(), object)
}

/// Whether a problem of reading is the reason for a broken rule of the same object: the rule is about the field that
/// could not be read, or one inside it. An item that was set aside moves those after it, an unknown field may be the
/// one that is missed beside it, and what is empty may be so because its only entry could not be read.
fn explains(path: &str, rule: &Problem) -> bool {
    let inside = |around: &str| {
        rule.path
            .strip_prefix(around)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    };
    let list = path
        .strip_suffix(']')
        .and_then(|path| path.rsplit_once('['));
    let parent = path.rsplit_once('.').map_or("", |(parent, _)| parent);
    let is_beside = rule.message.starts_with("missing")
        && rule.path.rsplit_once('.').map_or("", |(p, _)| p) == parent;
    let is_around = rule.message.starts_with("empty") && rule.path == parent;
    inside(path) || list.is_some_and(|(list, _)| inside(list)) || is_beside || is_around
}
