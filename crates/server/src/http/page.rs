//! Lists: by prefix, in pages, in either order.

use super::{Ctx, answer::Failure};

/// The most rows of a page.
const MAX_PER_PAGE: u64 = 10_000;

impl Ctx {
    /// The prefix of ids that is asked for.
    pub(crate) fn prefix(&self) -> &str {
        self.query.get("prefix").unwrap_or("")
    }

    /// Cuts a list that is sorted by `key` into the page that is asked for. Returns the rows and where the next page begins.
    pub(crate) fn page<T>(&self, mut rows: Vec<T>, key: impl Fn(&T) -> String) -> Result<(Vec<T>, Option<String>), Failure> {
        if self.query.flag("reverse").map_err(Failure::bad)? {
            rows.reverse();
        }
        let per_page = self.query.number("per_page").map_err(Failure::bad)?.unwrap_or(0).min(MAX_PER_PAGE);
        if let Some(token) = self.query.get("next_token").filter(|t| !t.is_empty()) {
            // The row itself may be gone by now; then the page begins at its place.
            let begin = rows.iter().position(|r| key(r) == token).or_else(|| rows.iter().position(|r| key(r).as_str() > token));
            rows.drain(..begin.unwrap_or(rows.len()));
        }
        let size = usize::try_from(per_page).unwrap_or(usize::MAX);
        if size == 0 || rows.len() <= size {
            return Ok((rows, None));
        }
        let next = rows.get(size).map(&key);
        rows.truncate(size);
        Ok((rows, next))
    }

    /// Whether a row of `namespace` is asked for.
    pub(crate) fn wants_namespace(&self, namespace: &floe_model::Namespace) -> bool {
        let wanted = self.query.namespace();
        wanted == "*" || wanted == *namespace
    }
}
