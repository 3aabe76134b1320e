//! What users write: manifests, settings, and the periods and sizes in them.

use towpath_config::problem::Problems;
use towpath_config::{CompileOptions, Settings, SourceFile, load, period, quantity};

/// Manifests load, or every problem says where it is.
pub fn manifests(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let file = SourceFile {
        name: "fuzz.yaml".to_owned(),
        text: text.to_owned(),
    };
    match load(&[file], &CompileOptions::default()) {
        Ok(compiled) => drop(format!("{:?}", compiled.report)),
        Err(problems) => explain(&problems, text),
    }
}

/// Settings are valid, each can be shown, and what is shown sets the same again; or every problem says where it is.
pub fn settings(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let settings = match Settings::parse(text) {
        Ok(settings) => settings,
        Err(problems) => return explain(&problems, text),
    };
    assert_eq!(settings.validate(), Ok(()));
    let mut again = settings.clone();
    for key in towpath_config::settings::keys() {
        let value = key.value(&settings);
        // no value sets nothing, and `addresses` is set entry by entry
        if !value.is_empty() && key.name != "addresses" {
            again
                .apply(key.name, &value)
                .expect("a shown value can be set");
        }
    }
    assert_eq!(again, settings);
}

/// Periods and sizes; a size that is shown is the same size.
pub fn periods(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    if let Err(error) = period::parse(text) {
        drop(error.to_string());
    }
    match quantity::parse(text) {
        Ok(bytes) => assert_eq!(quantity::parse(&quantity::show(bytes)), Ok(bytes)),
        Err(error) => drop(error.to_string()),
    }
}

fn explain(problems: &Problems, text: &str) {
    assert!(!problems.0.is_empty(), "refused without a reason");
    // a carriage return alone ends a line of YAML too
    let ends = text.matches(['\n', '\r']).count();
    for problem in &problems.0 {
        let line = usize::try_from(problem.line).unwrap_or(usize::MAX);
        assert!(line <= ends + 1, "{problem}: after {ends} ends of lines");
        assert!(!problem.message.is_empty());
    }
    drop(problems.to_string());
}
