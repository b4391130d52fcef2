//! Lists: by prefix and namespace, narrowed by a filter, in either order, in pages.

use super::{
    Ctx,
    answer::{Failure, Reply},
};
use floe_api::{Filter, Query};
use floe_model::{Allocation, Deployment, Evaluation, Job, Namespace, Node, ServiceRegistration, ids::DEFAULT_NAMESPACE};
use floe_state::{State, Table};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde::Serialize;
use std::sync::Arc;
use tokio::runtime::{Handle, RuntimeFlavor};

/// The most rows of a page.
pub(crate) const MAX_PER_PAGE: u64 = 10_000;

/// In which order a list is; `reverse` turns it round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// By namespace (where the rows have names, not random ids) and id.
    Id,
    /// The oldest first; by id when a prefix of ids is asked for.
    Oldest,
    /// The newest first.
    Newest,
}

/// What a row is sorted by and found again by; unique within a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key<'a> {
    pub(crate) created: u64,
    pub(crate) namespace: &'a str,
    pub(crate) id: &'a str,
}

/// A row of a list.
pub(crate) trait Row {
    fn key(&self) -> Key<'_>;
}

macro_rules! rows {
    ($($row:ident: |$r:ident| $namespace:expr, $id:expr;)*) => {$(
        impl Row for Arc<$row> {
            fn key(&self) -> Key<'_> {
                let $r = &**self;
                Key { created: $r.create_index, namespace: $namespace, id: $id }
            }
        }
    )*};
}

rows! {
    Job: |r| r.namespace.as_str(), r.id.as_str();
    ServiceRegistration: |r| r.namespace.as_str(), &r.id;
    Allocation: |r| "", r.id.as_str();
    Evaluation: |r| "", r.id.as_str();
    Deployment: |r| "", r.id.as_str();
    Node: |r| "", r.id.as_str();
}

/// What of a list is asked for.
struct Page {
    filter: Option<Filter>,
    order: Order,
    reverse: bool,
    size: usize,
    from: Option<(u64, String, String)>,
}

/// Characters that a token keeps as they are: it travels in a header and in a query.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'/').remove(b'~');

impl Page {
    fn parse(query: &Query, order: Order) -> Result<Page, Failure> {
        let given = |name: &str| query.get(name).filter(|v| !v.is_empty());
        let order = if order == Order::Oldest && given("prefix").is_some() { Order::Id } else { order };
        let size = match query.number("per_page").map_err(Failure::bad)?.unwrap_or(0) {
            0 => usize::MAX,
            size => usize::try_from(size.min(MAX_PER_PAGE)).unwrap_or(usize::MAX),
        };
        Ok(Page {
            filter: given("filter").map(Filter::parse).transpose().map_err(Failure::bad)?,
            order,
            reverse: query.flag("reverse").map_err(Failure::bad)?,
            size,
            from: given("next_token").map(|token| parse_token(order, token)).transpose()?,
        })
    }

    /// What of a key counts in this order.
    fn key<'k>(&self, key: Key<'k>) -> Key<'k> {
        if self.order == Order::Id { Key { created: 0, ..key } } else { Key { namespace: "", ..key } }
    }

    /// The rows of the page, shown, and where the next page begins.
    fn cut<T: Row, U: Serialize>(&self, mut rows: Vec<T>, show: impl Fn(&T) -> U) -> Result<(Vec<U>, Option<String>), Failure> {
        rows.sort_by(|a, b| self.key(a.key()).cmp(&self.key(b.key())));
        let falling = self.reverse != (self.order == Order::Newest);
        if falling {
            rows.reverse();
        }
        // The row of the token may be gone by now; then the page begins at its place.
        let begin = self.from.as_ref().map_or(0, |(created, namespace, id)| {
            let from = Key { created: *created, namespace, id };
            rows.partition_point(|row| if falling { self.key(row.key()) > from } else { self.key(row.key()) < from })
        });
        let mut selection = self.filter.as_ref().map(Filter::selection);
        let (mut kept, mut next) = (Vec::new(), None);
        for row in rows.iter().skip(begin) {
            let shown = show(row);
            if let Some(selection) = &mut selection
                && !selection.keeps(&shown).map_err(Failure::bad)?
            {
                continue;
            }
            if kept.len() == self.size {
                next = Some(self.token(row.key()));
                break;
            }
            kept.push(shown);
        }
        selection.map_or(Ok(()), floe_api::filter::Selection::finish).map_err(Failure::bad)?;
        Ok((kept, next))
    }

    /// A page that begins at `key`, in a form that only this module reads.
    fn token(&self, key: Key<'_>) -> String {
        let id = utf8_percent_encode(key.id, PLAIN);
        match self.order {
            Order::Id => format!("{}.{id}", utf8_percent_encode(key.namespace, PLAIN)),
            Order::Oldest | Order::Newest => format!("{}.{id}", key.created),
        }
    }
}

fn parse_token(order: Order, token: &str) -> Result<(u64, String, String), Failure> {
    let bad = || Failure::bad(format!("invalid next_token {token:?}: it is none of this list in this order"));
    let plain = |text: &str| percent_decode_str(text).decode_utf8().map(|t| t.into_owned()).map_err(|_| bad());
    let (first, id) = token.split_once('.').ok_or_else(bad)?;
    match order {
        Order::Id => Ok((0, plain(first)?, plain(id)?)),
        Order::Oldest | Order::Newest => Ok((first.parse().map_err(|_| bad())?, String::new(), plain(id)?)),
    }
}

/// Does what may take up to half a second without holding up the other requests of this thread.
fn aside<T>(work: impl FnOnce() -> T) -> T {
    match Handle::current().runtime_flavor() {
        // There is no other thread that could take over.
        RuntimeFlavor::CurrentThread => work(),
        _ => tokio::task::block_in_place(work),
    }
}

impl Ctx {
    /// A list: the `rows` of the state, each as `show` makes it. It last changed when one of `tables` did: a row that goes away leaves
    /// no other trace.
    pub(crate) async fn list<T: Row, U: Serialize>(
        &self,
        tables: &[Table],
        order: Order,
        rows: impl FnOnce(&State) -> Result<Vec<T>, Failure>,
        show: impl Fn(&State, &T) -> U,
    ) -> Result<Reply, Failure> {
        let page = Page::parse(&self.query, order)?;
        let (state, meta) = self.state_after(|state| tables.iter().map(|t| state.table_index(*t)).max().unwrap_or(0)).await?;
        let rows = rows(&state).map_err(|failure| failure.with_meta(meta))?;
        let cut = || page.cut(rows, |row| show(&state, row));
        let (rows, next) = if page.filter.is_some() { aside(cut)? } else { cut()? };
        Ok(Reply::read(&rows, meta)?.with_next_token(next))
    }

    /// Whether a row's id begins as is asked for.
    pub(crate) fn wants_id(&self, id: &str) -> bool {
        self.query.get("prefix").is_none_or(|prefix| id.starts_with(prefix))
    }

    /// Whether a row of `namespace` is asked for.
    pub(crate) fn wants_namespace(&self, namespace: &Namespace) -> bool {
        let wanted = self.query.get("namespace").filter(|n| !n.is_empty()).unwrap_or(DEFAULT_NAMESPACE);
        wanted == "*" || *namespace == *wanted
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use floe_model::Evaluation;

    /// Evaluations whose ids run against their age.
    fn rows(n: u64) -> Vec<Arc<Evaluation>> {
        (0..n)
            .map(|i| {
                Arc::new(Evaluation {
                    id: format!("é{:02}", n - i).into(),
                    create_index: 100 + i,
                    priority: (i % 2).cast_signed(),
                    ..Evaluation::default()
                })
            })
            .collect()
    }

    fn page(query: &str, order: Order) -> Page {
        Page::parse(&Query::parse(query).unwrap(), order).unwrap()
    }

    fn ages(shown: &[Arc<Evaluation>]) -> Vec<u64> {
        shown.iter().map(|e| e.create_index - 100).collect()
    }

    /// All pages of a list, with a row taken away between any two pages when `shrinks`.
    fn all(query: &str, order: Order, shrinks: bool) -> Vec<u64> {
        let (mut rows, mut found, mut token) = (rows(10), Vec::new(), String::new());
        loop {
            let (shown, next) = page(&format!("{query}&next_token={token}"), order).cut(rows.clone(), Arc::clone).unwrap();
            found.extend(ages(&shown));
            let Some(next) = next else { return found };
            assert!(next.is_ascii(), "{next:?} goes into a header");
            let (key, order) = (parse_token(order, &next).unwrap(), order);
            if shrinks {
                rows.retain(|r| if order == Order::Id { r.id.as_str() != key.2 } else { r.create_index != key.0 });
            }
            token = next.replace('%', "%25");
        }
    }

    #[test]
    fn pages_together_are_the_list_in_every_order() {
        let up: Vec<u64> = (0..10).collect();
        let down: Vec<u64> = (0..10).rev().collect();
        for per_page in 1..12 {
            let q = |rest: &str| format!("per_page={per_page}{rest}");
            assert_eq!(all(&q(""), Order::Oldest, false), up);
            assert_eq!(all(&q("&reverse=true"), Order::Oldest, false), down);
            assert_eq!(all(&q(""), Order::Newest, false), down);
            assert_eq!(all(&q("&reverse"), Order::Newest, false), up);
            assert_eq!(all(&q(""), Order::Id, false), down, "ids run against age");
            assert_eq!(all(&q("&reverse"), Order::Id, false), up);
        }
        assert_eq!(ages(&page("prefix=x", Order::Oldest).cut(rows(3), Arc::clone).unwrap().0), [2, 1, 0], "a prefix sorts by id");
    }

    #[test]
    fn pages_of_a_filtered_list_hold_only_what_passes_and_are_full() {
        for per_page in 1..7 {
            for (reverse, expected) in [("", [1, 3, 5, 7, 9]), ("&reverse", [9, 7, 5, 3, 1])] {
                assert_eq!(all(&format!("per_page={per_page}&filter=Priority==1{reverse}"), Order::Oldest, false), expected);
            }
        }
        let (shown, next) = page("per_page=5&filter=Priority==1", Order::Oldest).cut(rows(10), Arc::clone).unwrap();
        assert_eq!((shown.len(), next), (5, None), "no page follows when nothing of it would pass");
    }

    #[test]
    fn a_page_begins_at_the_place_of_a_row_that_went() {
        for order in [Order::Oldest, Order::Newest, Order::Id] {
            for reverse in ["", "&reverse"] {
                let found = all(&format!("per_page=3{reverse}"), order, true);
                let mut sorted = found.clone();
                sorted.sort_unstable();
                sorted.dedup();
                assert_eq!((found.len(), sorted.len()), (8, 8), "two rows went, none comes twice: {found:?}");
            }
        }
    }

    #[test]
    fn the_size_of_a_page_is_bounded() {
        assert_eq!(page("", Order::Id).size, usize::MAX);
        assert_eq!(page("per_page=10000", Order::Id).size, 10_000);
        assert_eq!(page("per_page=10001", Order::Id).size, 10_000);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for query in ["per_page=x", "reverse=maybe", "filter=Name", "next_token=no-number.x", "next_token=x"] {
            assert!(Page::parse(&Query::parse(query).unwrap(), Order::Oldest).is_err(), "{query}");
        }
    }
}
