//! Lanes: how many questions of a kind are answered at once, so that none is kept from its answer by those of another.
//!
//! What people need when something goes wrong has places of its own. Neither machines that post without a pause nor
//! questions that read much can take them, and who acts on many exceptions keeps nobody from looking at one.

use crate::{doors::Arrived, problem::Problem};
use axum::{
    extract::{ConnectInfo, Request, State},
    http::{HeaderValue, Method, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Questions whether the instance does its work, answered at once.
pub const HEALTH_PLACES: usize = 2;
/// Looks at the status, metrics, exceptions and single things, answered at once.
pub const CONTROL_PLACES: usize = 4;
/// Acts of people under way at once: on exceptions, runs, alarms and objects.
pub const ACTS_PLACES: usize = 4;
/// Posts that are read and stored at once, of all sources together.
pub const DATA_PLACES: usize = 64;
/// Questions that may read much, answered at once.
pub const QUESTIONS_PLACES: usize = 3;
/// Questions of one lane that wait for a place; one more is answered with 429.
pub const WAITING_MAX: usize = 512;
/// Bytes of the bodies of posts in memory at once, as they are sent; one more is answered with 429. A body that does
/// not say how long it is counts as the longest.
pub const BODIES_BYTES_MAX: usize = 256 << 20;

/// The unit in which bytes of bodies are counted.
const BODY_UNIT: usize = 1 << 10;
/// When a refused question may be asked again, in seconds.
const AGAIN_SECS: &str = "1";

tokio::task_local! {
    /// The lane of the request at hand.
    static HERE: (Arc<Lanes>, Lane);
}

/// What a request is, when places are scarce.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lane {
    /// Whether the instance does its work.
    Health,
    /// What a person looks at first.
    Control,
    /// What a person does.
    Acts,
    /// What machines and systems send.
    Data,
    /// Everything else.
    Questions,
}

impl Lane {
    /// The lane of a request.
    pub(crate) fn of(method: &Method, path: &str) -> Self {
        let mut parts = path.trim_start_matches('/').split('/');
        let (first, second) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""));
        let asks = method == Method::GET || method == Method::HEAD;
        match (first, second) {
            ("healthz" | "readyz", _) => Self::Health,
            ("v1", "sources" | "systems") if !asks => Self::Data,
            // It waits until everything is in files.
            ("v1", "historian") => Self::Questions,
            ("v1", _) if !asks => Self::Acts,
            ("metrics", _)
            | (
                "v1",
                "status" | "exceptions" | "exception-groups" | "show" | "systems" | "sources" | "notices" | "audit",
            ) => Self::Control,
            _ => Self::Questions,
        }
    }

    /// Whether it is answered also when more connections are open than are served.
    fn is_control(self) -> bool {
        matches!(self, Self::Health | Self::Control | Self::Acts)
    }

    fn word(self) -> &'static str {
        match self {
            Self::Health => "about health",
            Self::Control => "about the status and exceptions",
            Self::Acts => "that change something",
            Self::Data => "that bring data",
            Self::Questions => "about what is kept",
        }
    }
}

/// The places of all lanes.
#[derive(Debug)]
pub(crate) struct Lanes {
    health: Places,
    control: Places,
    acts: Places,
    data: Places,
    questions: Places,
    bodies: Arc<Semaphore>,
}

#[derive(Debug)]
struct Places {
    free: Arc<Semaphore>,
    waiting: AtomicUsize,
}

impl Places {
    fn new(places: usize) -> Self {
        Self { free: Arc::new(Semaphore::new(places)), waiting: AtomicUsize::new(0) }
    }
}

/// A place in a lane; it is free again once this is gone.
pub(crate) type Place = OwnedSemaphorePermit;

/// Somebody who waits for a place.
struct Waits<'a>(&'a AtomicUsize);

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Default for Lanes {
    fn default() -> Self {
        Self {
            health: Places::new(HEALTH_PLACES),
            control: Places::new(CONTROL_PLACES),
            acts: Places::new(ACTS_PLACES),
            data: Places::new(DATA_PLACES),
            questions: Places::new(QUESTIONS_PLACES),
            bodies: Arc::new(Semaphore::new(BODIES_BYTES_MAX / BODY_UNIT)),
        }
    }
}

impl Lanes {
    fn places(&self, lane: Lane) -> &Places {
        match lane {
            Lane::Health => &self.health,
            Lane::Control => &self.control,
            Lane::Acts => &self.acts,
            Lane::Data => &self.data,
            Lane::Questions => &self.questions,
        }
    }

    /// Waits for a place, in the order in which they were asked for.
    async fn enter(&self, lane: Lane) -> Result<Place, Problem> {
        let places = self.places(lane);
        if let Ok(place) = Arc::clone(&places.free).try_acquire_owned() {
            return Ok(place);
        }
        let before = places.waiting.fetch_add(1, Ordering::AcqRel);
        let _waits = Waits(&places.waiting);
        if before >= WAITING_MAX {
            return Err(busy(format!("{WAITING_MAX} requests {} wait for an answer", lane.word())));
        }
        let place = Arc::clone(&places.free).acquire_owned().await;
        place.map_err(|_| Problem::unavailable("the instance is stopping"))
    }
}

fn busy(detail: String) -> Problem {
    Problem::busy(detail).remedy("ask again later, and less at once").header("retry-after", AGAIN_SECS)
}

/// Does what blocks on a thread of its own, in a place of the lane of the request at hand.
pub(crate) async fn run<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    let here = HERE.try_with(Clone::clone).ok();
    let place = match here {
        Some((lanes, lane)) => Some(lanes.enter(lane).await?),
        None => None,
    };
    // The place belongs to the thread: who asked may be gone, and the thread still at work.
    let work = tokio::task::spawn_blocking(move || {
        let _place = place;
        work()
    });
    work.await.unwrap_or_else(|_| Err(Problem::fault("the answer could not be made").remedy("the log says why")))
}

/// Room in memory for a body of so many bytes.
pub(crate) fn room(bytes: usize) -> Result<Option<Place>, Problem> {
    let Ok((lanes, _)) = HERE.try_with(Clone::clone) else { return Ok(None) };
    let units = u32::try_from(bytes.div_ceil(BODY_UNIT)).unwrap_or(u32::MAX);
    let room = Arc::clone(&lanes.bodies).try_acquire_many_owned(units);
    room.map(Some).map_err(|_| busy("posts under way fill the memory that is there for them".to_owned()))
}

/// Puts a request into its lane. On a connection that is one too many only what people need is answered, once.
pub(crate) async fn sort(State(lanes): State<Arc<Lanes>>, request: Request, next: Next) -> Response {
    let lane = Lane::of(request.method(), request.uri().path());
    let spare = request.extensions().get::<ConnectInfo<Arrived>>().is_some_and(|of| of.0.spare);
    if !spare {
        return HERE.scope((lanes, lane), next.run(request)).await;
    }
    let mut response = if lane.is_control() {
        HERE.scope((lanes, lane), next.run(request)).await
    } else {
        Problem::unavailable("as many connections are open as are served at once")
            .remedy("use fewer connections, and keep each for several requests")
            .header("retry-after", AGAIN_SECS)
            .into_response()
    };
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::{Router, body::Body, http::StatusCode, middleware, routing::any};
    use std::sync::{Condvar, Mutex};
    use tower::ServiceExt as _;

    #[test]
    fn every_request_has_its_lane() {
        let of = |method: &str, path: &str| Lane::of(&Method::from_bytes(method.as_bytes()).unwrap(), path);
        for path in ["/readyz", "/healthz"] {
            assert_eq!(of("GET", path), Lane::Health, "{path}");
        }
        for path in ["/metrics", "/v1/status", "/v1/exceptions", "/v1/show/ex_1", "/v1/exception-groups"] {
            assert_eq!(of("GET", path), Lane::Control, "{path}");
        }
        for path in ["/v1/exceptions/ex_1/retry", "/v1/runs/ru_1/cancel", "/v1/alarms/r/a/shelve"] {
            assert_eq!(of("POST", path), Lane::Acts, "{path}");
        }
        for path in ["/v1/sources/a/samples", "/v1/sources/a/events", "/v1/systems/s/reads/r"] {
            assert_eq!(of("POST", path), Lane::Data, "{path}");
        }
        for path in ["/v1/samples", "/v1/explain/ev_1", "/v1/why-not", "/v1/events", "/v1/runs", "/nowhere"] {
            assert_eq!(of("GET", path), Lane::Questions, "{path}");
        }
        assert_eq!(of("POST", "/v1/historian/seal"), Lane::Questions);
    }

    /// Answers that come only once they are let go.
    #[derive(Default)]
    struct Held {
        open: Mutex<bool>,
        opened: Condvar,
        inside: AtomicUsize,
    }

    impl Held {
        fn wait(&self) {
            self.inside.fetch_add(1, Ordering::AcqRel);
            let mut open = self.open.lock().unwrap();
            while !*open {
                open = self.opened.wait(open).unwrap();
            }
        }

        fn open(&self) {
            *self.open.lock().unwrap() = true;
            self.opened.notify_all();
        }
    }

    /// Lets all answers go, also where the test ends early: else nothing would end the threads they hang on.
    struct Opens(Arc<Held>);

    impl Drop for Opens {
        fn drop(&mut self) {
            self.0.open();
        }
    }

    /// A surface on which everything but health, looks and acts hangs.
    fn surface(held: &Arc<Held>, lanes: &Arc<Lanes>) -> Router {
        let held = held.clone();
        let answer = move |request: Request| {
            let held = held.clone();
            let lane = Lane::of(request.method(), request.uri().path());
            async move {
                let hangs = matches!(lane, Lane::Data | Lane::Questions);
                run(move || {
                    if hangs {
                        held.wait();
                    }
                    Ok("done")
                })
                .await
            }
        };
        Router::new().route("/{*path}", any(answer)).layer(middleware::from_fn_with_state(lanes.clone(), sort))
    }

    async fn status(surface: &Router, method: &str, path: &str) -> StatusCode {
        let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
        surface.clone().oneshot(request).await.unwrap().status()
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_people_need_is_answered_while_all_posts_and_questions_hang() {
        let (held, lanes) = (Arc::new(Held::default()), Arc::new(Lanes::default()));
        let opens = Opens(held.clone());
        let surface = surface(&held, &lanes);
        let flood = DATA_PLACES + WAITING_MAX + QUESTIONS_PLACES + WAITING_MAX;
        let mut asked = Vec::new();
        for number in 0..flood {
            let surface = surface.clone();
            asked.push(tokio::spawn(async move {
                if number < DATA_PLACES + WAITING_MAX {
                    status(&surface, "POST", "/v1/sources/a/samples").await
                } else {
                    status(&surface, "GET", "/v1/samples").await
                }
            }));
        }
        let waiting = |places: &Places| places.waiting.load(Ordering::Acquire);
        while held.inside.load(Ordering::Acquire) < DATA_PLACES + QUESTIONS_PLACES
            || waiting(&lanes.data) < WAITING_MAX
            || waiting(&lanes.questions) < WAITING_MAX
        {
            tokio::task::yield_now().await;
        }
        // One more of what is full is told so, and not made to wait.
        for (method, path) in [("POST", "/v1/sources/a/samples"), ("GET", "/v1/samples")] {
            assert_eq!(status(&surface, method, path).await, StatusCode::TOO_MANY_REQUESTS, "{method} {path}");
        }
        for (method, path) in [
            ("GET", "/readyz"),
            ("GET", "/v1/status"),
            ("GET", "/v1/exceptions"),
            ("GET", "/v1/show/ex_1"),
            ("POST", "/v1/exceptions/ex_1/retry"),
        ] {
            assert_eq!(status(&surface, method, path).await, StatusCode::OK, "{method} {path}");
        }
        assert_eq!(held.inside.load(Ordering::Acquire), DATA_PLACES + QUESTIONS_PLACES, "no more came in meanwhile");
        drop(opens);
        let mut done = 0;
        for one in asked {
            if one.await.unwrap() == StatusCode::OK {
                done += 1;
            }
        }
        assert_eq!(done, flood, "who was let wait is answered");
    }

    #[tokio::test]
    async fn bodies_share_one_room() {
        let lanes = Arc::new(Lanes::default());
        HERE.scope((lanes, Lane::Data), async {
            let half = room(BODIES_BYTES_MAX / 2).unwrap();
            let rest = room(BODIES_BYTES_MAX / 2).unwrap();
            let refused = room(1).unwrap_err();
            assert_eq!(refused.status, 429);
            drop(half);
            assert!(room(1).unwrap().is_some());
            drop(rest);
        })
        .await;
    }
}
