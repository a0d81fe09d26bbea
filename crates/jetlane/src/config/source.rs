//! Where a config comes from: a text, a file, the environment.

use std::fs;
use std::path::Path;

use super::error::{ConfigError, Place};
use super::keys::{KEYS, PATHS, ROOT, TOPIC_KEYS, TOPICS, shape, topic_key};
use super::nearest::nearest;
use super::read::{Said, Unread, read};
use super::{Config, TopicConfig};

/// What our variables begin with.
const PREFIX: &str = "JETLANE_EVENTBUS_";

impl Config {
    /// Reads a YAML text. What stands beside `eventbus` is not ours, and not read.
    ///
    /// # Errors
    /// [`ConfigError`] says what is wrong, and where.
    pub fn from_yaml(yaml: &str) -> Result<Self, ConfigError> {
        Self::read(yaml, &Place::default())
    }

    /// Reads a YAML file.
    ///
    /// # Errors
    /// As [`Config::from_yaml`], and [`ConfigError::Read`] if the file can not be read.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        let path = path.as_ref();
        let yaml = fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: path.into(), source })?;
        Self::read(&yaml, &Place { file: Some(path.into()), ..Place::default() })
    }

    /// Reads the environment: each variable is the path of a key in capitals, with `_` for the dots, behind `JETLANE_`.
    /// `JETLANE_EVENTBUS_NATS_URLS` is `eventbus.nats.urls`; lists have commas between. Variables that do not begin with
    /// `JETLANE_EVENTBUS_` are not ours, and those that are empty say nothing. Topics can not be given in this way.
    ///
    /// # Errors
    /// [`ConfigError`] says what is wrong with which variable.
    pub fn from_env() -> Result<Self, ConfigError> {
        Self::default().with_env()
    }

    /// The same with what the environment says over it: see [`Config::from_env`].
    ///
    /// ```no_run
    /// # use jetlane::Config;
    /// let config = Config::from_file("config.yaml")?.with_env()?;
    /// # Ok::<(), jetlane::ConfigError>(())
    /// ```
    ///
    /// # Errors
    /// [`ConfigError`] says what is wrong with which variable.
    pub fn with_env(self) -> Result<Self, ConfigError> {
        let variables = std::env::vars_os();
        // What is not UTF-8 is no value of a key either, and will be said to be none.
        self.with_env_vars(variables.map(|(name, value)| {
            (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned())
        }))
    }

    /// As [`Config::with_env`], from these variables.
    ///
    /// # Errors
    /// As [`Config::with_env`].
    pub fn with_env_vars(
        mut self,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        for (variable, text) in variables {
            if !variable.starts_with(PREFIX) || text.is_empty() {
                continue;
            }
            let place = Place { variable: Some(variable.clone()), ..Place::default() };
            let Some(key) = KEYS.iter().find(|key| variable_of(key.path) == variable) else {
                let known: Vec<_> = KEYS.iter().map(|key| variable_of(key.path)).collect();
                let nearest = nearest(&variable, &known);
                return Err(ConfigError::UnknownKey { place, key: variable, nearest });
            };
            (key.set)(&mut self, &text).map_err(|reason| ConfigError::Value {
                place,
                key: key.path.into(),
                reason,
            })?;
        }
        self.check(&Place::default())?;
        Ok(self)
    }

    fn read(yaml: &str, place: &Place) -> Result<Self, ConfigError> {
        let at = |line| Place { line, ..place.clone() };
        let said = read(yaml, shape).map_err(|Unread { line, near, reason }| {
            let near = if near.is_empty() { "the beginning".into() } else { format!("`{near}`") };
            ConfigError::Yaml { place: at(line), near, reason }
        })?;
        let mut config = Self::default();
        for Said { path, text, line } in said {
            let place = at(Some(line));
            let Some(text) = text else { return Err(unknown(place, path)) };
            config.set(&path, &text).map_err(|reason| ConfigError::Value {
                place,
                key: path,
                reason,
            })?;
        }
        config.check(place)?;
        Ok(config)
    }

    /// Sets a key that is known.
    fn set(&mut self, path: &str, text: &str) -> Result<(), String> {
        if let Some((at, name)) = topic_key(path) {
            if self.topics.len() <= at {
                self.topics.resize(at + 1, TopicConfig::default());
            }
            let key = TOPIC_KEYS.iter().find(|key| key.path == name);
            return key.map_or(Ok(()), |key| (key.set)(&mut self.topics[at], text));
        }
        let key = KEYS.iter().find(|key| key.path == path);
        key.map_or(Ok(()), |key| (key.set)(self, text))
    }

    /// What does not go together.
    fn check(&self, place: &Place) -> Result<(), ConfigError> {
        let connection = &self.connection;
        let ways = [
            ("user", connection.user.is_some()),
            ("token", connection.token.is_some()),
            ("creds_file", connection.creds_file.is_some()),
            ("nkey_seed", connection.nkey_seed.is_some()),
        ];
        let mut ways = ways.iter().filter(|(_, is_said)| *is_said).map(|(way, _)| way);
        let wrong = if let (Some(first), Some(second)) = (ways.next(), ways.next()) {
            (format!("eventbus.nats.{second}"), format!("can not be said with `{first}`"))
        } else if connection.user.is_some() != connection.password.is_some() {
            ("eventbus.nats.user".into(), "needs a `password`, and that one a `user`".into())
        } else if connection.tls.cert_file.is_some() != connection.tls.key_file.is_some() {
            ("eventbus.nats.tls.cert_file".into(), "needs a `key_file`, and that one it".into())
        } else if self.publisher.burst.is_some() && self.publisher.rate.is_none() {
            ("eventbus.publisher.burst".into(), "needs a `rate`".into())
        } else if let Some(at) = self.topics.iter().position(|topic| topic.name.is_empty()) {
            (format!("{TOPICS}[{at}]"), "has no `name`".into())
        } else if let Some(at) = self.topics.iter().position(TopicConfig::contradicts_itself) {
            let reason = "is core, and so has no stream that anything could be said of";
            (format!("{TOPICS}[{at}]"), reason.into())
        } else {
            return Ok(());
        };
        let (key, reason) = wrong;
        Err(ConfigError::Value { place: place.clone(), key, reason })
    }
}

fn unknown(place: Place, key: String) -> ConfigError {
    let nearest = match topic_key(&key) {
        Some((at, _)) => {
            let known = TOPIC_KEYS.iter().map(|key| format!("{TOPICS}[{at}].{}", key.path));
            nearest(&key, &known.collect::<Vec<_>>())
        }
        None => nearest(&key, &PATHS),
    };
    ConfigError::UnknownKey { place, key, nearest }
}

/// The variable that says what a key says.
fn variable_of(path: &str) -> String {
    debug_assert!(path.starts_with(ROOT));
    format!("JETLANE_{}", path.to_ascii_uppercase().replace('.', "_"))
}

#[cfg(test)]
#[path = "source_tests.rs"]
mod tests;
