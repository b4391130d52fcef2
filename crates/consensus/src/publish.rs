//! What watchers see: the newest state, and what each entry changed, in order.

use floe_state::{Effects, State};
use std::sync::Arc;
use tokio::sync::{broadcast, watch};

/// How many events a subscriber may be behind. One past it and the subscriber is told that it lagged.
pub const EVENT_BACKLOG: usize = 1024;

/// What an entry changed.
#[derive(Clone, Debug)]
pub struct Event {
    /// The entry's place in the log.
    pub index: u64,
    /// What it changed; never empty.
    pub effects: Effects,
    /// The state right after it.
    pub state: State,
}

/// Why there is no event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// The subscriber was too slow: events are lost to it. It must take a view and go on from there.
    #[error("read events: {missed} were missed; take a view of the state and go on from it")]
    Lagged {
        /// How many.
        missed: u64,
    },
    /// The server stopped.
    #[error("read events: this server stopped")]
    Closed,
}

/// A subscription. A view taken after subscribing may include events that are still to come: skip those up to its place in the log.
pub struct Events {
    receiver: broadcast::Receiver<Arc<Event>>,
}

impl Events {
    /// The next event. Cancel safe.
    ///
    /// # Errors
    /// When events were missed, or the server stopped.
    pub async fn next(&mut self) -> Result<Arc<Event>, EventError> {
        self.receiver.recv().await.map_err(|e| match e {
            broadcast::error::RecvError::Lagged(missed) => EventError::Lagged { missed },
            broadcast::error::RecvError::Closed => EventError::Closed,
        })
    }
}

/// The side that apply writes to.
#[derive(Clone)]
pub(crate) struct Publisher {
    views: watch::Sender<State>,
    events: broadcast::Sender<Arc<Event>>,
}

/// The side that hands out subscriptions. It does not keep the channel of events open.
#[derive(Clone)]
pub(crate) struct Published {
    views: watch::Receiver<State>,
    events: broadcast::WeakSender<Arc<Event>>,
}

pub(crate) fn channel(state: State) -> (Publisher, Published) {
    let views = watch::Sender::new(state);
    let events = broadcast::Sender::new(EVENT_BACKLOG);
    let published = Published { views: views.subscribe(), events: events.downgrade() };
    (Publisher { views, events }, published)
}

impl Publisher {
    /// Shows the state, then the events that led to it: who hears of an event finds it in the view.
    pub(crate) fn publish(&self, state: State, events: Vec<Event>) {
        self.views.send_replace(state);
        for event in events {
            // Nobody need listen.
            let _ = self.events.send(Arc::new(event));
        }
    }

    /// Whether events are worth making.
    pub(crate) fn has_subscribers(&self) -> bool {
        self.events.receiver_count() > 0
    }
}

impl Published {
    pub(crate) fn view(&self) -> State {
        self.views.borrow().clone()
    }
    pub(crate) fn watch(&self) -> watch::Receiver<State> {
        self.views.clone()
    }
    pub(crate) fn events(&self) -> Events {
        let receiver = match self.events.upgrade() {
            Some(sender) => sender.subscribe(),
            // A subscription to nothing: the first read says that it is closed.
            None => broadcast::channel(1).1,
        };
        Events { receiver }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use floe_state::Change;

    fn event(index: u64) -> Event {
        Event { index, effects: Effects { changes: vec![Change::Node("n".into())] }, state: State::default() }
    }

    #[tokio::test]
    async fn a_subscriber_gets_the_backlog_in_order_and_one_past_it_is_told() {
        let (publisher, published) = channel(State::default());
        let (mut at_limit, mut past) = (published.events(), published.events());
        let backlog = EVENT_BACKLOG as u64;
        publisher.publish(State::default(), (0..backlog).map(event).collect());
        for index in 0..backlog {
            assert_eq!(at_limit.next().await.unwrap().index, index);
        }
        publisher.publish(State::default(), vec![event(backlog)]);
        assert_eq!(past.next().await.unwrap_err(), EventError::Lagged { missed: 1 });
        assert_eq!(past.next().await.unwrap().index, 1, "it goes on after what was missed");
        drop(publisher);
        assert_eq!(at_limit.next().await.unwrap().index, backlog);
        assert_eq!(at_limit.next().await.unwrap_err(), EventError::Closed);
        assert_eq!(published.events().next().await.unwrap_err(), EventError::Closed);
    }
}
