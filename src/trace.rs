//! Reports decisions through the `tracing` crate. Without the feature `tracing` these
//! macros do nothing.

/// Reports what was decided about a request, as one event at level DEBUG.
#[cfg(feature = "tracing")]
macro_rules! decided {
    ($outcome:expr, $status:expr) => {
        tracing::debug!(
            target: "tower_conditional",
            outcome = %$outcome,
            status = $status.as_u16(),
            "conditional request"
        )
    };
}

#[cfg(not(feature = "tracing"))]
macro_rules! decided {
    ($outcome:expr, $status:expr) => {
        let _ = (&$outcome, &$status);
    };
}

/// Reports that the `Last-Modified` of the inner service is not sent, as one event at
/// level DEBUG.
#[cfg(feature = "tracing")]
macro_rules! date_not_sent {
    ($date:expr) => {
        tracing::debug!(
            target: "tower_conditional",
            last_modified = ?$date,
            "date of the inner service not sent"
        )
    };
}

#[cfg(not(feature = "tracing"))]
macro_rules! date_not_sent {
    ($date:expr) => {
        let _ = &$date;
    };
}

/// Reports that the hash of a file differs from the manifest, as one event at
/// level WARN.
#[cfg(feature = "tracing")]
macro_rules! wrong_manifest {
    ($file:expr) => {
        tracing::warn!(
            target: "tower_conditional",
            file = $file,
            "the hash of the file differs from the manifest"
        )
    };
}

#[cfg(not(feature = "tracing"))]
macro_rules! wrong_manifest {
    ($file:expr) => {
        let _ = &$file;
    };
}

/// Reports that a value in the store of shared tags was not made with our secret, as
/// one event at level WARN. Does nothing if the value is ours.
#[cfg(all(feature = "shared-tags", feature = "tracing"))]
macro_rules! shared_tag_found {
    ($is_ours:expr) => {
        if !$is_ours {
            tracing::warn!(target: "tower_conditional", "shared tag was not made with our secret");
        }
    };
}

#[cfg(all(feature = "shared-tags", not(feature = "tracing")))]
macro_rules! shared_tag_found {
    ($is_ours:expr) => {
        let _ = $is_ours;
    };
}

#[cfg(feature = "shared-tags")]
pub(crate) use shared_tag_found;
pub(crate) use {date_not_sent, decided, wrong_manifest};
