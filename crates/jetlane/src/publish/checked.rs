use jetlane_client::AsSubject;
use jetlane_client::proto::SubjectError;

use super::PublishError;

/// A topic that was checked and can be published to: it is not checked again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Checked<'a> {
    topic: &'a str,
}

impl<'a> Checked<'a> {
    #[inline]
    pub(crate) fn of(topic: &'a impl AsSubject) -> Result<Self, PublishError> {
        let topic = topic.as_subject().map_err(jetlane_jetstream::PublishError::from)?;
        Ok(Self { topic })
    }

    #[inline]
    pub(crate) fn as_str(self) -> &'a str {
        self.topic
    }
}

impl AsSubject for Checked<'_> {
    #[inline]
    fn as_subject(&self) -> Result<&str, SubjectError> {
        Ok(self.topic)
    }
}
