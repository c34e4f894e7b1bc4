use super::*;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

const STORED: Millis = 1_700_000_000_000;

fn encoded(message: &Message) -> Bytes {
    let mut out = Vec::new();
    encode(message, STORED, &mut out);
    Bytes::from(out)
}

fn headers() -> impl Strategy<Value = Headers> {
    vec(("\\PC{1,8}", option::of(vec(any::<u8>(), 0..20))), 0..5).prop_map(|entries| {
        let mut builder = Headers::builder();
        for (name, value) in entries {
            builder.push(&name, value.as_deref()).unwrap();
        }
        builder.build()
    })
}

fn peer() -> impl Strategy<Value = Option<SocketAddr>> {
    prop_oneof![
        Just(None),
        any::<(u32, u16)>().prop_map(|(ip, port)| Some(SocketAddrV4::new(ip.into(), port).into())),
        any::<(u128, u16, u32, u32)>()
            .prop_map(|(ip, port, flow, scope)| Some(SocketAddrV6::new(ip.into(), port, flow, scope).into())),
    ]
}

fn origin() -> impl Strategy<Value = Option<Box<Origin>>> {
    option::of(("[a-zA-Z0-9_%|-]{1,40}", any::<(u32, u64, u64)>())).prop_map(|origin| {
        origin.map(|(topic, (queue, offset, locator))| {
            let position = Position { topic: TopicName::new(topic).unwrap(), queue: QueueId(queue), offset };
            Box::new(Origin { position, locator })
        })
    })
}

/// As clients make them, and otherwise.
fn id() -> impl Strategy<Value = ByteString> {
    prop_oneof![
        text(),
        "[0-9A-F]{0,140}".prop_map(ByteString::from),
        "[0-9A-Fa]{32}".prop_map(ByteString::from)
    ]
}

/// Often near the time of storing.
fn time() -> impl Strategy<Value = Millis> {
    prop_oneof![any::<Millis>(), STORED - 9000..STORED + 9000]
}

fn text() -> impl Strategy<Value = ByteString> {
    "\\PC{0,12}".prop_map(ByteString::from)
}

prop_compose! {
    fn message()(
        body in option::of(vec(any::<u8>(), 0..200)),
        key in option::of(vec(any::<u8>(), 0..20)),
        (keys, id, principal) in (text(), id(), text()),
        (tag, ordering_group) in (option::of(text()), option::of(text())),
        headers in headers(),
        (born, deliver_at, expires_at) in (time(), option::of(time()), option::of(time())),
        (codec, kind, protocol) in (0u8..4, 0u8..4, 0u8..6),
        (flag, attempt) in any::<(i32, u32)>(),
        (peer, origin) in (peer(), origin()),
    ) -> Message {
        Message {
            body: body.map(Bytes::from),
            codec: codec_of(codec).unwrap(),
            key: key.map(Bytes::from),
            keys: Keys::joined(keys),
            tag,
            ordering_group,
            headers,
            born,
            deliver_at,
            expires_at,
            kind: kind_of(kind).unwrap(),
            id: id.into(),
            flag,
            attempt,
            origin,
            provenance: Provenance { protocol: protocol_of(protocol).unwrap(), principal, peer },
        }
    }
}

proptest! {
    #[test]
    fn every_field_comes_back(message in message()) {
        let bytes = encoded(&message);
        prop_assert!(bytes.len() <= max_len(&message));
        prop_assert_eq!(decode(&bytes, STORED).unwrap(), message);
    }

    /// The entry around it knows the length, and has a checksum: here, only a body can have another length.
    #[test]
    fn what_is_cut_or_extended_is_refused_or_has_another_body(message in message(), cut in any::<prop::sample::Index>()) {
        let bytes = encoded(&message);
        let cut = bytes.slice(..cut.index(bytes.len()));
        let longer = [&bytes[..], &[0]].concat().into();
        for other in [cut, longer] {
            if let Ok(read) = decode(&other, STORED) {
                prop_assert!(message.body.is_some() && read.body != message.body);
                prop_assert_eq!(Message { body: message.body.clone(), ..read }, message.clone());
            }
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..300)) {
        let _ = decode(&bytes.into(), STORED);
    }

    #[test]
    fn altered_records_never_panic(
        message in message(),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = encoded(&message).to_vec();
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        let _ = decode(&bytes.into(), STORED);
    }
}

#[test]
fn a_null_body_is_not_an_empty_one() {
    let null = Message::default();
    let empty = Message { body: Some(Bytes::new()), ..Message::default() };
    assert_eq!(decode(&encoded(&null), STORED).unwrap().body, None);
    assert_eq!(decode(&encoded(&empty), STORED).unwrap().body, Some(Bytes::new()));
}

#[test]
fn the_body_is_a_slice_of_the_record() {
    let bytes = encoded(&Message { body: Some(Bytes::from_static(b"payload")), ..Message::default() });
    let body = decode(&bytes, STORED).unwrap().body.unwrap();
    let record = bytes.as_ptr() as usize..bytes.as_ptr() as usize + bytes.len();
    assert!(record.contains(&(body.as_ptr() as usize)));
}

#[test]
fn what_most_messages_have_takes_little_room() {
    let message = Message {
        body: Some(Bytes::from_static(b"payload")),
        id: "7F0000010A2B18B4AAC2599E7C3D0001".into(),
        born: STORED - 1000,
        provenance: Provenance { peer: Some(([127, 0, 0, 1], 5000).into()), ..Provenance::default() },
        ..Message::default()
    };
    assert_eq!(encoded(&message).len(), 7 + 3 + 2 + 6 + 17);
}
