//! What is wrong with what a user wrote, and where: all problems at once, never only the first.

use std::fmt;

/// A place in a file. Line and column count from 1; 0 means that the place is not known (an object that
/// did not come from a file).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

/// One thing that is wrong, with its place and what to do about it.
///
/// Shown as `file:line: object: path: message`; parts that are not known are left out.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Name of the file, as given in [`crate::SourceFile::name`]; empty if there is none.
    pub file: String,
    /// Line, from 1; 0 if not known.
    pub line: u32,
    /// Column in characters, from 1; 0 if not known.
    pub column: u32,
    /// The object, as `Subscription default/foo`.
    pub object: Option<String>,
    /// Path of the field, as `spec.delivery.retry`; empty for the object or file as a whole.
    pub path: String,
    /// What is wrong, with the value and the limit, and what to do.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.file.is_empty() {
            write!(f, "{}:", self.file)?;
        }
        if self.line > 0 {
            write!(f, "{}:", self.line)?;
        }
        if !self.file.is_empty() || self.line > 0 {
            f.write_str(" ")?;
        }
        if let Some(object) = &self.object {
            write!(f, "{object}: ")?;
        }
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for Problem {}

/// Every problem of a set of files, sorted by file, line and column. Never empty when it is an error.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl Problems {
    /// Sorts by file, line and column and drops exact repetitions.
    pub(crate) fn new(mut problems: Vec<Problem>) -> Self {
        problems.sort();
        problems.dedup();
        Self(problems)
    }

    /// `Ok(value)` if there is no problem.
    pub(crate) fn or<T>(problems: Vec<Problem>, value: T) -> Result<T, Self> {
        if problems.is_empty() {
            Ok(value)
        } else {
            Err(Self::new(problems))
        }
    }
}

impl Problems {
    /// The same problems, in this file: for texts that were read without a name.
    #[must_use]
    pub fn in_file(mut self, name: &str) -> Self {
        for problem in self.0.iter_mut().filter(|problem| problem.file.is_empty()) {
            name.clone_into(&mut problem.file);
        }
        self
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}
