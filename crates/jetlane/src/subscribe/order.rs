use std::borrow::Cow;

use jetlane_client::Message;

use crate::Envelope;

/// Which events of a subscription are handled in order: those with the same key, one at a time. See [`crate::Subscribe::order_by`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OrderBy {
    /// Those of one aggregate. Events without an aggregate id are in no order, and spread over all lanes. The default.
    #[default]
    Aggregate,
    /// Those of one subject.
    Subject,
    /// Those whose subject has the same token at this place, the first being 0. Events whose subject is shorter are in no order.
    Token(usize),
    /// None: every event by itself, spread over all lanes.
    Nothing,
}

impl OrderBy {
    /// The key of a message; `None` if it has none.
    #[inline]
    pub(crate) fn key(self, message: &Message) -> Option<Cow<'_, [u8]>> {
        match self {
            Self::Aggregate => Envelope::aggregate_id_of(message),
            Self::Subject => Some(Cow::Borrowed(message.subject_bytes())),
            Self::Token(place) => {
                let token = message.subject_bytes().split(|&byte| byte == b'.').nth(place);
                token.map(Cow::Borrowed)
            }
            Self::Nothing => None,
        }
    }
}
