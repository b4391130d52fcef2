//! Redb's panics. It panics over pages that make no sense; to us that is a damaged file, which an error tells better than a panic's words on
//! the standard error of an agent that goes on.

use std::{
    cell::Cell,
    panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook},
    sync::Once,
};

thread_local! {
    /// Whether a panic of this thread is caught by [`caught`], and so is nobody's news.
    static CAUGHT: Cell<bool> = const { Cell::new(false) };
}

/// Runs something on this thread; `None` when it panicked.
pub(crate) fn caught<T>(run: impl FnOnce() -> T) -> Option<T> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let others = take_hook();
        set_hook(Box::new(move |panic| {
            if !CAUGHT.get() {
                others(panic);
            }
        }));
    });
    let outer = CAUGHT.replace(true);
    let result = catch_unwind(AssertUnwindSafe(run));
    CAUGHT.set(outer);
    result.ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic)]
    use super::*;

    #[test]
    fn a_panic_is_none_and_the_next_call_works() {
        assert_eq!(caught(|| -> u8 { panic!("this must not be printed") }), None);
        assert_eq!(caught(|| caught(|| 7)), Some(Some(7)));
        assert!(!CAUGHT.get());
    }
}
