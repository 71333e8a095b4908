"""A freezer on a Pico W: measures, loses no event, obeys `defrost`.

NOT RUN IN THIS PROJECT'S TESTS, which have no Pico: they run bellwire.py, which does the work, in MicroPython. This file joins it
to Wi-Fi and umqtt. Copy both onto the board:

    mpremote mip install umqtt.simple
    mpremote cp bellwire.py main.py :
"""

import json
import socket
import time

import bellwire
import machine
import network
from umqtt.simple import MQTTClient

WIFI, PASSWORD, BROKER = "cold-room", "…", "192.168.1.10"
NAME = "freezer-2"  # one name is one device; the client id too

defrosts = False


def defrost(payload):
    """Called at most once a command, and never late."""
    global defrosts
    try:
        defrosts = bool(json.loads(payload)["defrost"])  # the relay clicks here
    except (ValueError, KeyError, TypeError):
        return bellwire.REFUSED, 'the payload is {"defrost": true} or false'
    return "defrosting" if defrosts else "cooling"


def celsius():
    """The Pico's own sensor."""
    volts = machine.ADC(4).read_u16() * 3.3 / 65535
    return 27 - (volts - 0.706) / 0.001721


def connect(wlan):
    if not wlan.isconnected():
        wlan.connect(WIFI, PASSWORD)
        for _ in range(100):
            if wlan.isconnected():
                break
            time.sleep_ms(100)
    client = MQTTClient(NAME, BROKER, keepalive=150)  # a hello goes every 60 s
    client.connect(clean_session=True)
    client.sock.setsockopt(6, 1, 1)  # TCP_NODELAY
    return bellwire.Mqtt(device, client)


wlan = network.WLAN(network.STA_IF)
wlan.active(True)
storage = bellwire.File("bellwire.log")
device = bellwire.Device(NAME, "freezer 1.4", {"defrost": defrost}, storage, machine.unique_id())
now = bellwire.Uptime()
measured_at, tried_at, mqtt = -10000, -5000, None
while True:
    if now() >= measured_at + 10000:
        measured_at = now()
        if not device.event({"celsius": celsius(), "defrosts": defrosts}, now()):
            print("no room: the gateway hears how many")
    try:
        if mqtt is None and now() >= tried_at + 5000:
            tried_at = now()
            mqtt = connect(wlan)
        if mqtt is not None:
            mqtt.turn(now())
    except OSError as error:
        print("connecting again:", error)
        mqtt = None
    time.sleep_ms(20)
