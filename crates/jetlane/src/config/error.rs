use std::fmt;
use std::io;
use std::path::PathBuf;

use jetlane_client::ConnectError;

use crate::TopicError;

/// Why there is no [`crate::Config`]. Always the fault of who wrote it. Shows no value, as that may be a secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file can not be read.
    #[error("the config {} can not be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is no YAML, or has keys, lists and values where others are expected.
    #[error("{place}this can not be read, at or behind {near}: {reason}")]
    Yaml {
        /// Where.
        place: Place,
        /// The last key that was read, or the beginning, in words.
        near: String,
        /// What the reader said.
        reason: String,
    },
    /// There is no such key.
    #[error("{place}unknown key `{key}`: did you mean `{nearest}`?")]
    UnknownKey {
        /// Where.
        place: Place,
        /// What was written.
        key: String,
        /// The key most like it.
        nearest: String,
    },
    /// The value of a key can not be one.
    #[error("{place}`{key}` {reason}")]
    Value {
        /// Where.
        place: Place,
        /// The key.
        key: String,
        /// What is wrong with its value, without the value.
        reason: String,
    },
}

/// Where something was said. Displayed, it is the begin of a sentence.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Place {
    /// The file; `None` for a text, and for the environment.
    pub file: Option<PathBuf>,
    /// The line, from 1; `None` if it is not known.
    pub line: Option<u64>,
    /// The variable of the environment.
    pub variable: Option<String>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, variable } = self;
        match (variable, file, line) {
            (Some(variable), _, _) => write!(f, "the variable {variable}: "),
            (None, Some(file), Some(line)) => write!(f, "{}, line {line}: ", file.display()),
            (None, Some(file), None) => write!(f, "{}: ", file.display()),
            (None, None, Some(line)) => write!(f, "line {line}: "),
            (None, None, None) => Ok(()),
        }
    }
}

/// Why there is no bus as a [`crate::Config`] says.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The config is wrong. The fault of who wrote it.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The connection could not be made.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// A topic of the config could not be ensured. The connection was closed again.
    #[error("the topic {topic:?} of the config: {source}")]
    Topic {
        /// The topic.
        topic: String,
        /// Why not.
        source: TopicError,
    },
}
