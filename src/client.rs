//! The client's half: ask again cheaply, use again what was received, lose no edit.

mod stored_head;

pub use self::stored_head::StoredHead;
