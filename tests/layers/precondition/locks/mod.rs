//! The locks of a guard: who waits for whom, and what gives a lock back.

#[cfg(feature = "axum")]
mod nested;
mod races;

use std::{
    convert::Infallible,
    future::{poll_fn, Future},
    sync::{Arc, Mutex},
};

use axum::body::Body;
use http::{Method, Request, Response};
use tokio::sync::Notify;
use tower::{service_fn, Layer, Service, ServiceBuilder, ServiceExt};
use tower_conditional::ConditionalLayer;

use crate::support::{
    guarded::{boxed, guarded, guarding},
    harness::{reply, request, run, tag, IM, INM},
    note::{in_time, note, plain, put, service, status_of, text, write, Note},
};

#[test]
fn locks_do_not_hold_up_reads() {
    run(async {
        let (note, gate) = (Note::of("old"), Arc::new(Notify::new()));
        let (slow, wait) = (note.service(), Arc::clone(&gate));
        let inner = service_fn(move |request: Request<Body>| {
            let (slow, wait) = (slow.clone(), Arc::clone(&wait));
            async move {
                if request.method() == Method::PUT {
                    wait.notified().await;
                }
                slow.oneshot(request).await
            }
        });
        let service = guarded(inner);
        let put = tokio::spawn(service.clone().oneshot(write("PUT", &[(IM, "*")], "new")));
        let post = tokio::spawn(service.clone().oneshot(write("POST", &[], "newer")));
        let other = tokio::spawn(service.clone().oneshot(request("PUT", "/other", &[])));
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        let read =
            service.clone().oneshot(request("GET", "/note", &[(INM, "\"x\"")])).await.unwrap();
        assert_eq!(read.status(), 200);
        assert!(
            !put.is_finished() && !post.is_finished(),
            "a write waits for the guarded one before it"
        );
        gate.notify_one();
        gate.notify_one();
        assert_eq!(put.await.unwrap().unwrap().status(), 204);
        assert_eq!(post.await.unwrap().unwrap().status(), 204);
        assert_eq!(note.content().as_deref(), Some("newer"));
        gate.notify_one();
        assert_eq!(other.await.unwrap().unwrap().status(), 204);
    });
}

#[test]
fn locks_let_writes_without_preconditions_run_side_by_side() {
    run(async {
        let barrier = Arc::new(tokio::sync::Barrier::new(8));
        let inner = service_fn(move |_: Request<Body>| {
            let barrier = Arc::clone(&barrier);
            async move {
                barrier.wait().await;
                Ok::<_, Infallible>(reply(204, &[], Body::empty()))
            }
        });
        let service = guarded(inner);
        let writes = (0..8).map(|_| tokio::spawn(service.clone().oneshot(write("POST", &[], "x"))));
        for write in writes.collect::<Vec<_>>() {
            assert_eq!(write.await.unwrap().unwrap().status(), 204);
        }
    });
}

#[test]
fn locks_are_waited_for_without_a_permit_of_the_service() {
    run(async {
        let note = Note::of("old");
        let service = ServiceBuilder::new()
            .layer(guarding())
            .concurrency_limit(1)
            .layer(ConditionalLayer::new())
            .service(note.service());
        let writes = (0..64).map(|i| {
            let lines = if i % 3 == 0 { &[][..] } else { &[(IM, "*")][..] };
            tokio::spawn(service.clone().oneshot(write("PUT", lines, &format!("new {i}"))))
        });
        let writes: Vec<_> = writes.collect();
        let all = async {
            for write in writes {
                assert_eq!(write.await.unwrap().unwrap().status(), 204);
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(20), all).await.expect("a deadlock");
    });
}

/// Two names of one resource, as HTTP sees it, have one lock.
#[test]
fn locks_are_shared_by_names_that_differ_in_spelling_alone() {
    let mut lost = Vec::new();
    for (uri, host) in [
        ("/note", "example.com"),
        ("/note", "EXAMPLE.com"),
        ("/note", "example.com:80"),
        ("/%6eote", "example.com"),
    ] {
        let note = note("old");
        let inner = ConditionalLayer::new().layer(service(&note, plain));
        let inner = ServiceBuilder::new().map_response(|r: Response<_>| r).service(inner);
        // Both have read before either has written.
        let slow = service_fn(move |request: Request<Body>| {
            let inner = inner.clone();
            async move {
                for _ in 0..3 {
                    tokio::task::yield_now().await;
                }
                inner.oneshot(request).await
            }
        });
        let service = guarded(slow);
        let write = |uri: &str, host: &str| {
            let lines = [(IM, &*tag("old")), ("host", host)];
            status_of(service.clone(), request("PUT", uri, &lines).map(|_| Body::from("new")))
        };
        let seen = run(async { tokio::join!(write("/note", "example.com"), write(uri, host)) });
        if seen == (204, 204) {
            lost.push((uri, host));
        }
    }
    assert!(lost.is_empty(), "two writers passed: {lost:?}");
}

/// "One is held until the response has its head": a future that is done and not yet
/// dropped holds nothing.
#[test]
fn locks_are_given_back_with_the_response_of_a_refused_write() {
    let note = note("old");
    let service = guarded(service(&note, plain));
    let seen = run(async {
        let mut refused = std::pin::pin!(status_future(&service, put(&[(IM, "\"x\"")], "new")));
        let status = poll_fn(|cx| refused.as_mut().poll(cx)).await;
        assert_eq!(status, 412);
        in_time(status_of(service.clone(), put(&[(IM, "*")], "newer"))).await
    });
    assert_eq!(seen.ok(), Some(204));
}

/// Calls a service; the future that it made lives as long as this one.
fn status_future<S, B>(service: &S, request: Request<Body>) -> impl Future<Output = u16>
where
    S: Service<Request<Body>, Response = Response<B>, Error = Infallible> + Clone,
{
    let mut future = Box::pin(service.clone().call(request));
    poll_fn(move |cx| future.as_mut().poll(cx).map(|response| response.unwrap().status().as_u16()))
}

/// A client that leaves does not end a write whose guard runs in a task of its own. So
/// work that the handler has started elsewhere still has the lock.
#[test]
fn locks_last_until_the_write_ends_if_the_guard_runs_in_a_task() {
    let note = note("old");
    let (starts, goes_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (is_started, may_go_on) = (Arc::clone(&starts), Arc::clone(&goes_on));
    let store = service(&note, plain);
    let handler = service_fn(move |request: Request<Body>| {
        let (is_started, may_go_on) = (Arc::clone(&is_started), Arc::clone(&may_go_on));
        let store = store.clone();
        async move {
            if request.method() == Method::GET {
                return store.oneshot(request).await;
            }
            let work = async move {
                is_started.notify_one();
                may_go_on.notified().await;
                store.oneshot(request).await
            };
            tokio::spawn(work).await.unwrap()
        }
    });
    let guard = boxed(guarded(ConditionalLayer::new().layer(handler)));
    let app = service_fn(move |request: Request<Body>| {
        let guard = guard.clone();
        async move { tokio::spawn(guard.oneshot(request)).await.unwrap() }
    });
    let write = |text| status_of(app.clone(), put(&[(IM, &*tag("old"))], text));
    run(in_time(async {
        let leaving = tokio::spawn(write("first"));
        starts.notified().await;
        leaving.abort();
        assert!(leaving.await.unwrap_err().is_cancelled());
        let second = tokio::spawn(write("second"));
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        goes_on.notify_waiters();
        assert_eq!(second.await.unwrap(), 412);
    }))
    .unwrap();
    assert_eq!(text(&note), "first");
}

/// "Futures do nothing unless polled": one that was made and not yet polled holds up no
/// other.
#[test]
fn locks_are_not_held_by_a_call_that_is_not_polled() {
    let note = note("old");
    let service = guarded(service(&note, plain));
    let seen = run(async {
        let first = status_future(&service, put(&[(IM, "*")], "first"));
        let second = in_time(status_future(&service, put(&[(IM, "*")], "second"))).await;
        drop(first);
        second
    });
    assert_eq!(seen.ok(), Some(204));
}

/// A body that makes a permit wait, a handler that panics: the lock is free again.
#[test]
fn locks_are_given_back_by_a_handler_that_panics() {
    let inner = service_fn(|request: Request<Body>| async move {
        assert!(
            request.method() == Method::GET || !request.headers().contains_key("x-panic"),
            "as told"
        );
        Ok::<_, Infallible>(reply(200, &[], "x"))
    });
    let service = guarded(inner);
    run(async {
        let panicking = service.clone().oneshot(put(&[(IM, "*"), ("x-panic", "1")], "new"));
        assert!(tokio::spawn(panicking).await.is_err());
        let dropped = service.clone().oneshot(put(&[(IM, "*")], "new"));
        drop(dropped);
        assert_eq!(in_time(status_of(service, put(&[(IM, "*")], "new"))).await.unwrap(), 200);
    });
}

/// The extensions of a write that is over hold nothing.
#[test]
fn locks_are_not_held_by_extensions_that_outlive_their_write() {
    let note = note("old");
    let kept = Arc::new(Mutex::new(None));
    let (keeper, inner) = (Arc::clone(&kept), service(&note, plain));
    let keeping = service_fn(move |request: Request<Body>| {
        *keeper.lock().unwrap() = Some(request.extensions().clone());
        inner.clone().oneshot(request)
    });
    let service = guarded(ConditionalLayer::new().layer(keeping));
    assert_eq!(run(status_of(service.clone(), put(&[(IM, &*tag("old"))], "new"))), 204);
    let mut again = put(&[(IM, &*tag("old"))], "lost");
    *again.extensions_mut() = kept.lock().unwrap().take().unwrap();
    assert_eq!(run(status_of(service, again)), 412);
    assert_eq!(text(&note), "new");
}

/// A layer that is applied twice (on a nested router and on the outer one) does not
/// wait for itself.
#[test]
fn locks_of_a_layer_within_itself_do_not_wait_for_each_other() {
    let note = note("old");
    let inner = guarded(ConditionalLayer::new().layer(service(&note, plain)));
    let twice = guarded(inner);
    let seen = run(in_time(status_of(twice, put(&[(IM, &*tag("old"))], "new"))));
    assert_eq!(seen.ok(), Some(204));
}
