//! Registries, honest and otherwise, and the store that is filled from them. Needs root, as everything that unpacks layers.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod support {
    pub(crate) mod registry;
}

use floe_images::{Credentials, Digest, Image as Pulled, ImageError, Images, Keep, Pull, RegistrySettings, Settings};
use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use support::registry::{Answer, Gate, Image, Layer, Registry};

fn layer(files: &[(&str, &str)]) -> Layer {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        builder.append_data(&mut header, path, content.as_bytes()).unwrap();
    }
    Layer::plain(builder.into_inner().unwrap())
}

fn image() -> Image {
    Image::new(vec![layer(&[("a", "below"), ("b", "below")]), layer(&[("a", "above"), (".wh.b", "")])])
}

struct Node {
    folder: tempfile::TempDir,
    images: Images,
}

impl Node {
    fn new(settings: Settings) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let images = Images::open(folder.path(), settings).unwrap();
        Self { folder, images }
    }

    async fn pull(&self, name: &str, user: &str) -> Result<Pulled, ImageError> {
        self.images.acquire(&pull(name, user), |_| {}).await
    }

    async fn refusal(&self, name: &str) -> ImageError {
        self.pull(name, "nobody").await.unwrap_err()
    }

    fn count(&self, folder: &str) -> usize {
        fs::read_dir(self.folder.path().join(folder)).unwrap().count()
    }
}

fn pull(name: &str, user: &str) -> Pull {
    Pull { source: name.parse().unwrap(), credentials: None, force: false, deadline: Duration::from_secs(120), user: user.to_owned() }
}

fn me() -> Option<Credentials> {
    Some(Credentials { username: "me".to_owned(), password: "secret".to_owned() })
}

fn read(image: &Pulled, layer: usize, file: &str) -> String {
    fs::read_to_string(image.layers[layer].join(file)).unwrap()
}

/// "me:secret".
const BASIC: &str = "Basic bWU6c2VjcmV0";

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_pulled_once_and_found_again() {
    let registry = Registry::start();
    let digest = registry.push("team/web", "v1", &image());
    let node = Node::new(Settings::default());
    let pulled = node.pull(&registry.name("team/web:v1"), "one").await.unwrap();
    assert_eq!((pulled.digest, pulled.name.as_str()), (digest, registry.name("team/web:v1").as_str()));
    assert_eq!((read(&pulled, 0, "b"), read(&pulled, 1, "a")), ("below".to_owned(), "above".to_owned()));
    assert_eq!(node.count("blobs"), 0, "what is unpacked is not kept packed");
    registry.forget();
    let again = node.pull(&registry.name("team/web:v1"), "two").await.unwrap();
    assert_eq!((again.layers, registry.asked("").len()), (pulled.layers.clone(), 0));
    // By digest it is another name with the same layers.
    let pinned = node.pull(&format!("{}@{digest}", registry.name("team/web")), "three").await.unwrap();
    assert_eq!((pinned.layers, registry.asked("/blobs/").len()), (pulled.layers, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_moving_name_is_asked_for_again_and_works_without_its_registry() {
    let registry = Registry::start();
    let first = registry.push("web", "latest", &image());
    let node = Node::new(Settings::default());
    let name = registry.name("web");
    assert_eq!(node.pull(&name, "one").await.unwrap().digest, first);
    let second = registry.push("web", "latest", &Image::new(vec![layer(&[("new", "new")])]));
    let moved = node.pull(&name, "one").await.unwrap();
    assert_eq!((moved.digest, moved.warning.is_none()), (second, true));
    registry.rule(|_, _| Some(Answer::status(500)));
    let kept = node.pull(&name, "one").await.unwrap();
    assert!(kept.digest == second && kept.warning.is_some_and(|w| w.contains("status 500")));
    let forced = Pull { force: true, ..pull(&name, "one") };
    assert!(node.images.acquire(&forced, |_| {}).await.is_err(), "who wants the newest gets no other");
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_and_passwords_go_to_their_registry_alone() {
    let (registry, tokens, elsewhere) = (Registry::start(), Registry::start(), Registry::start());
    registry.push("web", "v1", &image());
    elsewhere.push("web", "v1", &image());
    let realm = format!("Bearer realm=\"http://{}/token\",service=\"it\",scope=\"ignored\"", tokens.address);
    let (to, serving) = (elsewhere.address, registry.clone());
    registry.rule(move |request, _| match request.authorization.as_deref() {
        Some("Bearer good") if request.path.contains("/blobs/") => {
            Some(Answer::status(307).header("location", format!("http://{to}{}", request.path)))
        }
        Some("Bearer good") => Some(serving.content(request)),
        _ => Some(Answer::status(401).header("www-authenticate", realm.clone())),
    });
    tokens.rule(|request, _| {
        let body = if request.authorization.as_deref() == Some(BASIC) { r#"{"token":"good"}"# } else { r#"{"access_token":"bad"}"# };
        Some(Answer { body: body.as_bytes().to_vec(), ..Answer::status(200) })
    });
    let node = Node::new(Settings::default());
    let name = registry.name("web:v1");
    let with = Pull { credentials: me(), ..pull(&name, "one") };
    node.images.acquire(&with, |_| {}).await.unwrap();
    assert!(tokens.asked("/token")[0].path.contains("service=it&scope=repository:web:pull"), "{:?}", tokens.asked(""));
    assert!(elsewhere.asked("").iter().all(|r| r.authorization.is_none()) && elsewhere.asked("/blobs/").len() == 3);
    // What one got with its password another does not get without.
    assert!(matches!(node.refusal(&name).await.own(), ImageError::Missing { .. }));
    let wrong = Some(Credentials { username: "me".to_owned(), password: "wrong".to_owned() });
    let denied = node.images.acquire(&Pull { credentials: wrong, ..pull(&name, "two") }, |_| {}).await.unwrap_err();
    assert!(matches!(denied.own(), ImageError::Denied { status: 401, .. }) && denied.is_fatal(), "{denied}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_may_want_a_password_itself() {
    let registry = Registry::start();
    registry.push("web", "v1", &image());
    registry.rule(|request, _| match request.authorization.as_deref() {
        Some(BASIC) => None,
        _ => Some(Answer::status(401).header("www-authenticate", "Basic realm=\"it\"")),
    });
    let known = RegistrySettings { credentials: me(), ..RegistrySettings::default() };
    let node = Node::new(Settings { registries: [(registry.address.to_string(), known)].into(), ..Settings::default() });
    node.pull(&registry.name("web:v1"), "one").await.unwrap();
    assert!(matches!(Node::new(Settings::default()).refusal(&registry.name("web:v1")).await.own(), ImageError::Missing { .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_is_asked_first_and_missed_by_nobody() {
    let (registry, mirror) = (Registry::start(), Registry::start());
    registry.push("web", "v1", &image());
    let mirrored =
        RegistrySettings { mirrors: vec![format!("http://{}", mirror.address)], credentials: me(), ..RegistrySettings::default() };
    let settings = Settings { registries: [(registry.address.to_string(), mirrored)].into(), ..Settings::default() };
    Node::new(settings.clone()).pull(&registry.name("web:v1"), "one").await.unwrap();
    assert_eq!((mirror.asked("").len(), registry.asked("/manifests/").len()), (1, 1));
    mirror.push("web", "v1", &image());
    registry.forget();
    Node::new(settings).pull(&registry.name("web:v1"), "one").await.unwrap();
    assert_eq!(registry.asked("").len(), 0);
    assert!(mirror.asked("").iter().all(|r| r.authorization.is_none()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_breaks_is_tried_again_and_gone_on_with() {
    let registry = Registry::start();
    registry.push("web", "v1", &image());
    let serving = registry.clone();
    // The first answer to everything is that it is busy; layers break in their middle twice.
    registry.rule(move |request, before| match before {
        0 => Some(Answer::status(503)),
        1 | 2 if request.path.contains("/blobs/") => {
            let honest = serving.content(request);
            Some(Answer { cut: Some(honest.body.len() / 2), ..honest })
        }
        _ => None,
    });
    let node = Node::new(Settings::default());
    let pulled = node.pull(&registry.name("web:v1"), "one").await.unwrap();
    assert_eq!(read(&pulled, 1, "a"), "above");
    assert!(registry.asked("/blobs/").iter().any(|r| r.from > 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_refused() {
    let registry = Registry::start();
    let node = Node::new(Settings::default());
    let honest = image();
    registry.push("web", "v1", &honest);
    let top = format!("/v2/web/blobs/{}", Digest::of(&honest.layers[1].packed));
    let name = registry.name("web:v1");
    registry.put(&top, vec![0; honest.layers[1].packed.len()]);
    assert!(matches!(node.refusal(&name).await.own(), ImageError::Digest { what, .. } if what.starts_with("layer sha256:")));
    registry.put(&top, [honest.layers[1].packed.clone(), vec![0]].concat());
    assert!(node.refusal(&name).await.to_string().contains("more than the"));
    assert!(matches!(node.refusal(&registry.name("none:v1")).await.own(), ImageError::Missing { .. }));
    let large = vec![b' '; floe_images::MAX_MANIFEST_BYTES + 1];
    registry.put("/v2/web/manifests/large", large.clone());
    assert!(node.refusal(&registry.name("web:large")).await.to_string().contains("larger than"));
    registry.put("/v2/web/manifests/bound", &large[1..]);
    assert!(node.refusal(&registry.name("web:bound")).await.to_string().contains("cannot be read"));
    let pinned = format!("{}@{}", registry.name("web"), Digest::of(b"other"));
    registry.put(&format!("/v2/web/manifests/{}", Digest::of(b"other")), honest.manifest());
    assert!(matches!(node.refusal(&pinned).await.own(), ImageError::Digest { .. }));
    // Its layers are not those that its configuration promises.
    let mut liar = honest.clone();
    liar.layers[1].packed = layer(&[("c", "other")]).packed;
    registry.push("liar", "v1", &liar);
    assert!(matches!(node.refusal(&registry.name("liar:v1")).await.own(), ImageError::Digest { .. }));
    let mut climber = honest.clone();
    climber.layers[1] = hostile("../escaped");
    registry.push("climber", "v1", &climber);
    let refused = node.refusal(&registry.name("climber:v1")).await;
    assert!(matches!(refused.own(), ImageError::Hostile { .. }) && refused.is_fatal(), "{refused}");
    assert_eq!(node.count("images"), 0);
    assert!(fs::read_dir(node.folder.path().join("layers")).unwrap().flatten().all(|e| !e.file_name().to_string_lossy().contains('.')));
}

fn hostile(path: &str) -> Layer {
    let mut header = tar::Header::new_gnu();
    header.as_gnu_mut().unwrap().name[..path.len()].copy_from_slice(path.as_bytes());
    header.set_size(0);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_cksum();
    let mut builder = tar::Builder::new(Vec::new());
    builder.append(&header, &b""[..]).unwrap();
    Layer::plain(builder.into_inner().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn redirects_lead_to_no_place_in_the_clear() {
    let registry = Registry::start();
    for to in ["http://192.0.2.1/x", "ftp://x/y", "http://127.0.0.1@192.0.2.1/x", "//192.0.2.1/x"] {
        registry.rule(move |_, _| Some(Answer::status(302).header("location", to)));
        let refused = Node::new(Settings::default()).refusal(&registry.name("web:v1")).await.to_string();
        assert!(refused.contains("sends on to"), "{to}: {refused}");
    }
    registry.rule(|request, _| Some(Answer::status(302).header("location", request.path.clone())));
    assert!(Node::new(Settings::default()).refusal(&registry.name("web:v1")).await.to_string().contains("more than 5 times"));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_pull_serves_all_who_wait_and_ends_with_the_last_of_them() {
    let registry = Registry::start();
    registry.push("web", "v1", &image());
    let gate = Arc::new(Gate::default());
    let (held, serving) = (gate.clone(), registry.clone());
    registry.rule(move |request, before| {
        let hold = before == 0 && request.path.contains("/blobs/");
        hold.then(|| Answer { gate: Some(held.clone()), ..serving.content(request) })
    });
    let node = Arc::new(Node::new(Settings::default()));
    let name = registry.name("web:v1");
    let waiting = Arc::new(AtomicUsize::new(0));
    let start = |user: &'static str| {
        let (node, pull, waiting) = (node.clone(), pull(&name, user), waiting.clone());
        tokio::spawn(async move {
            let mut first = true;
            let told = |_| {
                if std::mem::take(&mut first) {
                    waiting.fetch_add(1, Ordering::SeqCst);
                }
            };
            node.images.acquire(&pull, told).await
        })
    };
    let (one, two, three) = (start("one"), start("two"), start("three"));
    tokio::task::spawn_blocking({
        let gate = gate.clone();
        move || gate.wait_for_guest()
    })
    .await
    .unwrap();
    while waiting.load(Ordering::SeqCst) < 3 {
        tokio::task::yield_now().await;
    }
    three.abort();
    gate.open();
    assert_eq!(one.await.unwrap().unwrap().layers, two.await.unwrap().unwrap().layers);
    assert_eq!((registry.asked("/manifests/").len(), registry.asked("/blobs/").len()), (1, 3));
    // Now the only one goes: the pull ends, and the next begins anew.
    registry.push("other", "v1", &Image::new(vec![layer(&[("x", "y")])]));
    let gate = Arc::new(Gate::default());
    let (held, serving) = (gate.clone(), registry.clone());
    registry.rule(move |request, before| {
        let hold = before == 0 && request.path.contains("/other/manifests/");
        hold.then(|| Answer { gate: Some(held.clone()), ..serving.content(request) })
    });
    let other = pull(&registry.name("other:v1"), "one");
    let short = Pull { deadline: Duration::from_millis(50), ..other.clone() };
    let late = node.images.acquire(&short, |_| {}).await.unwrap_err();
    assert!(matches!(late, ImageError::Timeout { .. }) && !late.is_fatal(), "{late}");
    gate.open();
    node.images.acquire(&other, |_| {}).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_uses_goes_and_what_is_used_stays_over_a_restart() {
    let registry = Registry::start();
    registry.push("one", "v1", &image());
    let base = image().layers[0].clone();
    registry.push("two", "v1", &Image::new(vec![base, layer(&[("c", "own")])]));
    let settings = Settings { keep: Keep { delay: Duration::ZERO, max_bytes: u64::MAX }, ..Settings::default() };
    let node = Node::new(settings.clone());
    node.pull(&registry.name("one:v1"), "alpha.t").await.unwrap();
    node.pull(&registry.name("two:v1"), "beta.t").await.unwrap();
    assert_eq!((node.count("layers"), node.count("images")), (3, 2));
    assert!(node.images.collect_garbage().unwrap().is_empty());
    node.images.release("alpha.t");
    assert_eq!(node.images.collect_garbage().unwrap(), [registry.name("one:v1")]);
    assert_eq!((node.count("layers"), node.count("images"), node.count("users")), (2, 1, 1));
    // An agent that starts again knows who uses what, and finds what was left half made.
    fs::create_dir_all(node.folder.path().join("layers/x.new/fs")).unwrap();
    let again = Images::open(node.folder.path(), settings.clone()).unwrap();
    assert!(again.collect_garbage().unwrap().is_empty() && node.count("layers") == 2);
    again.keep_only(|user| user == "gamma.t");
    assert_eq!(again.collect_garbage().unwrap(), [registry.name("two:v1")]);
    assert_eq!((node.count("layers"), node.count("images"), node.count("users")), (0, 0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn layouts_are_read_from_the_folders_that_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().canonicalize().unwrap();
    image().write_layout(&at.join("web"), "v1");
    let settings = Settings { sources: vec![at.clone()], ..Settings::default() };
    let node = Node::new(settings);
    for name in [format!("oci:{}:v1", at.join("web").display()), format!("oci:{}", at.join("web").display())] {
        assert_eq!(read(&node.pull(&name, "one").await.unwrap(), 1, "a"), "above");
    }
    assert!(matches!(node.refusal("oci:/etc").await.own(), ImageError::Folder { .. }));
    std::os::unix::fs::symlink("/etc", at.join("out")).unwrap();
    assert!(matches!(node.refusal(&format!("oci:{}", at.join("out").display())).await.own(), ImageError::Folder { .. }));
    assert!(matches!(node.refusal(&format!("oci:{}", at.join("none").display())).await.own(), ImageError::Missing { .. }));
    assert!(matches!(
        node.refusal(&format!("docker-archive:{}", Path::new("/etc/passwd").display())).await.own(),
        ImageError::Folder { .. }
    ));
    fs::write(at.join("bad.tar"), "no archive").unwrap();
    assert!(matches!(node.refusal(&format!("docker-archive:{}", at.join("bad.tar").display())).await.own(), ImageError::Unusable { .. }));
}
