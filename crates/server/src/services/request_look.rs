//! The look at a PostgreSQL database that was made to authenticate a request. It began after the request did, so the
//! rest of the request needs no other to see what was acknowledged before.

use std::cell::RefCell;
use store::Look;

tokio::task_local! {
    static REQUEST: RefCell<RequestLook>;
}

struct RequestLook {
    /// Whether the request changes nothing. Another would not see in its look what it has written itself.
    only_reads: bool,
    look: Option<Look>,
    /// Whether the session index was read with it.
    is_used: bool,
}

/// Answers a request.
pub fn share_in<F: Future>(only_reads: bool, request: F) -> impl Future<Output = F::Output> {
    REQUEST.scope(RefCell::new(RequestLook { only_reads, look: None, is_used: false }), request)
}

/// Keeps the first look of the request that the current task answers, if the request only reads.
pub fn keep(look: Look) {
    let _ = REQUEST.try_with(|request| {
        let mut request = request.borrow_mut();
        if request.only_reads && request.look.is_none() {
            request.look = Some(look);
        }
    });
}

/// The look for the first read of the session index. A later one, perhaps after waiting for a change, needs a new look.
pub fn use_for_index() -> Option<Look> {
    let use_once = |request: &RefCell<RequestLook>| {
        let mut request = request.borrow_mut();
        let look = request.look.clone().filter(|_| !request.is_used);
        request.is_used = true;
        look
    };
    REQUEST.try_with(use_once).ok().flatten()
}

/// The look for what is not read again while the request waits.
pub fn find() -> Option<Look> {
    REQUEST.try_with(|request| request.borrow().look.clone()).ok().flatten()
}
