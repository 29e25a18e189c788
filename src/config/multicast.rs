//! Where streams go that viewers may have by multicast.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::str::FromStr;

use ipnet::Ipv4Net;

use super::name::StreamName;
use super::reader::{Key, Value};
use super::stream::Stream;

/// The groups of the server, one for each stream that is sent by multicast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Groups {
    /// Where streams get a group from that do not name their own.
    pub addresses: Ipv4Net,
    /// The even port for the RTP of a stream's first track. The next port is for its RTCP, and each further track has the
    /// next two.
    pub port: u16,
    /// How many routers a packet may pass, and one.
    pub ttl: u8,
    /// The address of the network interface that packets leave by; `None`: as the system routes them.
    pub interface: Option<Ipv4Addr>,
}

impl Default for Groups {
    /// In the block that RFC 2365 leaves to a site, and no further than the next router.
    fn default() -> Self {
        let addresses = Ipv4Net::new_assert(Ipv4Addr::new(239, 255, 42, 0), 24);
        Self { addresses, port: 8002, ttl: 1, interface: None }
    }
}

/// Whether a stream is sent by multicast, and where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Group {
    /// It is not.
    #[default]
    None,
    /// To one of the addresses of [`Groups`].
    Any,
    /// To this address, and to the usual ports unless it names one.
    At(Ipv4Addr, Option<u16>),
}

/// Keys of `rtsp.multicast`.
pub(super) const GROUPS_KEYS: &[Key<Groups>] = &[
    Key { name: "addresses", read: |groups, value| value.read(&mut groups.addresses, addresses) },
    Key { name: "port", read: |groups, value| value.read(&mut groups.port, port) },
    Key {
        name: "ttl",
        read: |groups, value| value.read(&mut groups.ttl, |v| v.number("a whole number", 1..=255)),
    },
    Key { name: "interface", read: |groups, value| value.read(&mut groups.interface, interface) },
];

/// The `multicast` of a stream.
pub(super) fn group(value: &Value<'_>) -> Option<Group> {
    let what = "true, false or a group such as 239.255.1.2 or 239.255.1.2:8002";
    let text = value.scalar(what)?;
    let group = match text.as_str() {
        "true" => Some(Group::Any),
        "false" => Some(Group::None),
        text => match (text.parse(), SocketAddrV4::from_str(text)) {
            (Ok(address), _) => Some(Group::At(address, None)),
            (_, Ok(at)) if is_first_port(at.port()) => Some(Group::At(*at.ip(), Some(at.port()))),
            _ => None,
        },
    };
    match group {
        Some(Group::At(address, _)) if !is_usable(address) => {
            value.problem(format!("{address} is no group to send to: {USABLE}"));
            None
        }
        None => {
            value.expected(&format!("{what} (an even port up to {LAST_PORT})"));
            None
        }
        usable => usable,
    }
}

/// Two streams in one group would be one to whoever joins it.
pub(super) fn check(streams: &BTreeMap<StreamName, Stream>, root: &Value<'_>) {
    let mut first: BTreeMap<Ipv4Addr, &StreamName> = BTreeMap::new();
    for (name, stream) in streams {
        let Group::At(address, _) = stream.viewing.multicast else { continue };
        if let Some(before) = first.get(&address) {
            root.problem_at("streams", format!("`{name}` has the multicast group {address} of `{before}`"));
        } else {
            first.insert(address, name);
        }
    }
}

fn addresses(value: &Value<'_>) -> Option<Ipv4Net> {
    let what = "a network of groups such as 239.255.42.0/24";
    let Some(network) = value.text(what)?.parse::<Ipv4Net>().ok().map(|network| network.trunc()) else {
        value.expected(what);
        return None;
    };
    if !is_usable(network.network()) || !is_usable(network.broadcast()) {
        value.problem(format!("{network} has addresses that are no groups to send to: {USABLE}"));
        return None;
    }
    Some(network)
}

fn port(value: &Value<'_>) -> Option<u16> {
    let port = value.number("an even port", 1024..=LAST_PORT)?;
    if !is_first_port(port) {
        value.expected("an even port: RTP has it, and RTCP the next");
        return None;
    }
    Some(port)
}

fn interface(value: &Value<'_>) -> Option<Option<Ipv4Addr>> {
    let what = "auto, or the IPv4 address of a network interface of this machine such as 192.168.1.5";
    let text = value.text(what)?;
    if text == "auto" {
        return Some(None);
    }
    let address = text.parse().ok();
    let address = address.filter(|address: &Ipv4Addr| !address.is_multicast() && !address.is_unspecified());
    if address.is_none() {
        value.expected(what);
    }
    address.map(Some)
}

fn is_first_port(port: u16) -> bool {
    (1024..=LAST_PORT).contains(&port) && port.is_multiple_of(2)
}

/// Not where routers speak with each other (RFC 5771 section 4).
fn is_usable(address: Ipv4Addr) -> bool {
    address.is_multicast() && address.octets()[..3] != [224, 0, 0]
}

const USABLE: &str = "224.0.1.0 to 239.255.255.255, of which 239.255.0.0/16 is a site's own (RFC 2365)";

/// Leaves room for the ports of 64 tracks.
const LAST_PORT: u16 = u16::MAX - 127;
