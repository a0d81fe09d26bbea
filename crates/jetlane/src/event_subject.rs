use std::fmt;

use jetlane_client::AsSubject;
use jetlane_client::proto::SubjectError;

/// Why a part can not be one of a subject. The caller's fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SubjectPartError {
    /// Nothing was given.
    #[error("the {part} of the subject is empty")]
    Empty {
        /// Which part.
        part: &'static str,
    },
    /// A dot would make it two parts, wildcards are for subscribing, and white space or control characters can not be sent.
    #[error(
        "the {part} of the subject, {value:?}, has {found:?}: dots, wildcards, white space and control characters can not stand there"
    )]
    Forbidden {
        /// Which part.
        part: &'static str,
        /// What was given.
        value: String,
        /// The first character that can not stand there.
        found: char,
    },
    /// The whole can not be published to, as it is too long.
    #[error(transparent)]
    Subject(#[from] SubjectError),
}

/// Builds subjects `{domain}.{service}.{entity}.{action}.{version}` of one service.
///
/// ```
/// use jetlane::SubjectBuilder;
/// let subjects = SubjectBuilder::new("user", "service", "v1")?;
/// let created = subjects.build("account", "created")?;
/// assert_eq!(created.as_str(), "user.service.account.created.v1");
/// # Ok::<(), jetlane::SubjectPartError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubjectBuilder {
    domain: String,
    service: String,
    version: String,
}

impl SubjectBuilder {
    /// For the subjects of this service.
    ///
    /// # Errors
    /// [`SubjectPartError`] if a part is empty, or has a dot, a wildcard (`*` or `>`), white space or a control character.
    pub fn new(domain: &str, service: &str, version: &str) -> Result<Self, SubjectPartError> {
        check("domain", domain)?;
        check("service", service)?;
        check("version", version)?;
        Ok(Self { domain: domain.into(), service: service.into(), version: version.into() })
    }

    /// The subject of what happens to an entity.
    ///
    /// # Errors
    /// As [`SubjectBuilder::new`], or if the whole is too long for a subject.
    pub fn build(&self, entity: &str, action: &str) -> Result<EventSubject, SubjectPartError> {
        check("entity", entity)?;
        check("action", action)?;
        let Self { domain, service, version } = self;
        let subject = format!("{domain}.{service}.{entity}.{action}.{version}");
        subject.as_str().as_subject()?;
        Ok(EventSubject { subject })
    }
}

/// A subject of five checked parts, made by a [`SubjectBuilder`]: it can be published to, and is not checked again.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EventSubject {
    subject: String,
}

impl EventSubject {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.subject
    }
}

impl AsSubject for EventSubject {
    fn as_subject(&self) -> Result<&str, SubjectError> {
        Ok(&self.subject)
    }
}

impl fmt::Display for EventSubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.subject)
    }
}

fn check(part: &'static str, value: &str) -> Result<(), SubjectPartError> {
    if value.is_empty() {
        return Err(SubjectPartError::Empty { part });
    }
    let is_forbidden = |found: &char| {
        matches!(found, '.' | '*' | '>') || found.is_whitespace() || found.is_control()
    };
    match value.chars().find(is_forbidden) {
        Some(found) => Err(SubjectPartError::Forbidden { part, value: value.into(), found }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_is_checked() {
        for (value, found) in
            [("a.b", '.'), ("*", '*'), ("a>", '>'), ("a b", ' '), ("\t", '\t'), ("\0", '\0')]
        {
            for at in 0..5 {
                let mut parts = ["user", "service", "account", "created", "v1"];
                let names = ["domain", "service", "entity", "action", "version"];
                parts[at] = value;
                let part = names[at];
                let expected = SubjectPartError::Forbidden { part, value: value.into(), found };
                assert_eq!(build(parts), Err(expected));
                parts[at] = "";
                assert_eq!(build(parts), Err(SubjectPartError::Empty { part }));
            }
        }
    }

    #[test]
    fn what_is_built_can_be_published_to() {
        let subject = build(["käufe", "billing", "order", "created", "v1"]).unwrap();
        assert_eq!(subject.as_subject(), Ok("käufe.billing.order.created.v1"));
        let long = build(["a", "b", &"c".repeat(1 << 20), "d", "v1"]);
        assert!(matches!(long, Err(SubjectPartError::Subject(_))));
    }

    fn build(parts: [&str; 5]) -> Result<EventSubject, SubjectPartError> {
        let [domain, service, entity, action, version] = parts;
        SubjectBuilder::new(domain, service, version)?.build(entity, action)
    }
}
