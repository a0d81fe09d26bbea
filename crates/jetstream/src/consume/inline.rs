use jetlane_client::proto::jetstream::Delivery;
use jetlane_client::{Containment, MessageRef};

use super::{Held, Settle, Settler, Taker};

/// Calls back for every message, and settles it at once.
pub(super) struct InlineTaker<F> {
    callback: F,
    containment: Containment,
    /// For what could not be settled when it came.
    settler: Settler,
}

impl<F> InlineTaker<F> {
    pub(super) fn new(callback: F, containment: Containment, settler: Settler) -> Self {
        Self { callback, containment, settler }
    }
}

impl<F> Taker for InlineTaker<F>
where
    F: FnMut(&MessageRef<'_>, &Delivery) -> Settle + Send + 'static,
{
    #[inline]
    fn at_once(&mut self, message: &MessageRef<'_>, delivery: &Delivery) -> Option<Settle> {
        let settle = self.containment.call(|| (self.callback)(message, delivery));
        Some(settle.unwrap_or(Settle::Forget))
    }

    fn take(&mut self, held: Held) {
        let message = held.message.as_message_ref();
        let settle = self.at_once(&message, &held.delivery).unwrap_or(Settle::Forget);
        self.settler.settle(held.receipt, settle);
    }
}
