//! What is wrong with a configuration: every mistake, each with its place.

use std::fmt;
use std::path::PathBuf;

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where it stands: a key path such as `streams.yard.transport`, `line 3 column 5` where the text is not YAML at
    /// all, or nothing for the document as a whole.
    pub key: String,
    /// What is wrong with it and, where possible, what would be right. Never contains a secret.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.key.is_empty() {
            f.write_str(&self.message)
        } else {
            write!(f, "{}: {}", self.key, self.message)
        }
    }
}

/// All mistakes of one configuration, at least one. Displayed as one line each, without a final line end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Problems(pub Vec<Problem>);

impl Problems {
    /// A single mistake.
    pub(super) fn one(key: impl Into<String>, message: impl Into<String>) -> Self {
        Self(vec![Problem { key: key.into(), message: message.into() }])
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

/// Why [`Config::load`](super::Config::load) gave no configuration. Names the file.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be read: missing, not permitted, not UTF-8.
    #[error("{}: cannot be read: {cause}", path.display())]
    Read {
        /// The file asked for.
        path: PathBuf,
        /// What the system said. Part of the message, so it is no `source()`: nobody wants to read it twice.
        cause: std::io::Error,
    },
    /// The file was read, and is wrong.
    #[error("{}: not a valid configuration\n{problems}", path.display())]
    Invalid {
        /// The file asked for.
        path: PathBuf,
        /// All that is wrong with it.
        problems: Problems,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_are_shown_one_per_line() {
        let problem = |key: &str, message: &str| Problem { key: key.into(), message: message.into() };
        let problems = Problems(vec![problem("rtsp.listen", "bad"), problem("", "worse")]);
        assert_eq!(problems.to_string(), "rtsp.listen: bad\nworse");
    }
}
