//! The packets that a client sends, in both versions.

use super::{
    client::{RECEIVE_MAX, Settings},
    frame::PACKET_MAX,
};
use andon_contract::contract::MqttVersion;
use mqtt_protocol_core::mqtt::{
    packet::{
        MaximumPacketSize, Packet, Property, Qos, ReceiveMaximum, RetainHandling, SessionExpiryInterval, SubEntry,
        SubOpts, v3_1_1 as v3, v5_0 as v5,
    },
    result_code::MqttError,
};

/// A CONNECT, which tells our limits or not.
pub(super) fn connect(settings: &Settings, tell: bool) -> Result<Packet, MqttError> {
    match settings.version {
        MqttVersion::V3 => {
            let mut packet = v3::Connect::builder()
                .client_id(settings.client_id.as_str())?
                .clean_session(settings.clean_start)
                .keep_alive(settings.keep_alive);
            if let Some((user, password)) = &settings.credentials {
                packet = packet.user_name(user.as_str())?.password(password.clone())?;
            }
            packet.build().map(Into::into)
        }
        MqttVersion::V5 => {
            let mut packet = v5::Connect::builder()
                .client_id(settings.client_id.as_str())?
                .clean_start(settings.clean_start)
                .keep_alive(settings.keep_alive);
            if let Some((user, password)) = &settings.credentials {
                packet = packet.user_name(user.as_str())?.password(password.clone())?;
            }
            let mut props = Vec::new();
            if settings.session_expiry > 0 {
                props.push(Property::SessionExpiryInterval(SessionExpiryInterval::new(settings.session_expiry)?));
            }
            if tell {
                let size = u32::try_from(PACKET_MAX).unwrap_or(u32::MAX);
                props.push(Property::ReceiveMaximum(ReceiveMaximum::new(RECEIVE_MAX)?));
                props.push(Property::MaximumPacketSize(MaximumPacketSize::new(size)?));
            }
            packet.props(props).build().map(Into::into)
        }
    }
}

pub(super) fn subscribe(version: MqttVersion, id: u16, filters: &[(String, u8)]) -> Result<Packet, MqttError> {
    let mut entries = Vec::with_capacity(filters.len());
    for (filter, qos) in filters {
        let options = SubOpts::new().set_qos(qos_of(*qos));
        let options = match version {
            MqttVersion::V3 => options,
            MqttVersion::V5 => options.set_rh(RetainHandling::SendRetainedIfNotExists),
        };
        entries.push(SubEntry::new(filter.as_str(), options)?);
    }
    match version {
        MqttVersion::V3 => v3::Subscribe::builder().packet_id(id).entries(entries).build().map(Into::into),
        MqttVersion::V5 => v5::Subscribe::builder().packet_id(id).entries(entries).build().map(Into::into),
    }
}

pub(super) fn unsubscribe(version: MqttVersion, id: u16, filters: &[String]) -> Result<Packet, MqttError> {
    let filters = filters.iter().map(String::as_str);
    match version {
        MqttVersion::V3 => v3::Unsubscribe::builder().packet_id(id).entries(filters)?.build().map(Into::into),
        MqttVersion::V5 => v5::Unsubscribe::builder().packet_id(id).entries(filters)?.build().map(Into::into),
    }
}

/// The PUBREC of a message of QoS 2.
pub(super) fn acknowledge(version: MqttVersion, id: u16) -> Result<Packet, MqttError> {
    match version {
        MqttVersion::V3 => v3::Pubrec::builder().packet_id(id).build().map(Into::into),
        MqttVersion::V5 => v5::Pubrec::builder().packet_id(id).build().map(Into::into),
    }
}

pub(super) fn complete(version: MqttVersion, id: u16) -> Result<Packet, MqttError> {
    match version {
        MqttVersion::V3 => v3::Pubcomp::builder().packet_id(id).build().map(Into::into),
        MqttVersion::V5 => v5::Pubcomp::builder().packet_id(id).build().map(Into::into),
    }
}

/// With a packet id at QoS 1, without one at QoS 0.
pub(super) fn publish(version: MqttVersion, id: Option<u16>, topic: &str, body: &[u8]) -> Result<Packet, MqttError> {
    match version {
        MqttVersion::V3 => {
            let packet = v3::Publish::builder().topic_name(topic)?.payload(body);
            match id {
                Some(id) => packet.qos(Qos::AtLeastOnce).packet_id(id).build().map(Into::into),
                None => packet.qos(Qos::AtMostOnce).build().map(Into::into),
            }
        }
        MqttVersion::V5 => {
            let packet = v5::Publish::builder().topic_name(topic)?.payload(body);
            match id {
                Some(id) => packet.qos(Qos::AtLeastOnce).packet_id(id).build().map(Into::into),
                None => packet.qos(Qos::AtMostOnce).build().map(Into::into),
            }
        }
    }
}

pub(super) fn disconnect(version: MqttVersion) -> Result<Packet, MqttError> {
    match version {
        MqttVersion::V3 => v3::Disconnect::builder().build().map(Into::into),
        MqttVersion::V5 => v5::Disconnect::builder().build().map(Into::into),
    }
}

fn qos_of(number: u8) -> Qos {
    match number {
        0 => Qos::AtMostOnce,
        1 => Qos::AtLeastOnce,
        _ => Qos::ExactlyOnce,
    }
}
