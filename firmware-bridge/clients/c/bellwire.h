/* A device that loses no event: docs/device-protocol.md in C99. No heap, no operating system, no floating-point arithmetic.
 *
 * A state machine without input, output or clock. Hand it events, what arrives, and the time in milliseconds of any clock
 * that never goes back; ask it what is to be sent:
 *
 *     bw_start, then after each (re)connection bw_connected, then again and again:
 *       bw_mqtt_arrived or bw_serial_arrived     what came
 *       bw_event                                 what happened
 *       bw_command_to_obey, bw_answer            what people want
 *       bw_poll until false                      what goes out now
 *
 * Events wait in the caller's memory. With `save` they survive a power cut: it writes a part of that memory to storage that
 * keeps it (FRAM, EEPROM, a file), and before bw_start the caller reads the whole memory back from there. */
#ifndef BELLWIRE_H
#define BELLWIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The longest message that the device sends, at least 192. An event needs 61 bytes more than its fields; 1137 is enough for
 * any event. Firmware that takes over a queue takes over this number too, or a larger one. */
#ifndef BW_BUFFER_BYTES
#define BW_BUFFER_BYTES 256
#endif

#define BW_VERSION 1
#define BW_DEVICE_MAX 32   /* bytes of a device's name */
#define BW_NAME_MAX 24     /* of a field's, a command's, a firmware's name */
#define BW_TEXT_MAX 64     /* of a text in a field or a result */
#define BW_FIELDS_MAX 12
#define BW_COMMANDS_MAX 8
#define BW_PAYLOAD_MAX 128 /* of a command */
#define BW_TO_DEVICE_MAX 181
#define BW_TOPIC_MAX 57    /* bytes of a topic, with its NUL */
#define BW_WINDOW 8        /* events under way at once */
#define BW_HEADER_BYTES 128 /* of the caller's memory, for numbers */
#define BW_RECORD_BYTES 22 /* for each event beside its fields */

typedef enum {
  BW_HELLO = 0x01,
  BW_EVENT = 0x02,
  BW_RESULT = 0x03,
  BW_WELCOME = 0x81,
  BW_ACK = 0x82,
  BW_COMMAND = 0x83,
  BW_VERSION_ONLY = 0x8f /* the gateway reads another version */
} bw_kind;

typedef enum {
  BW_OK = 0,
  BW_FULL,      /* the queue is full: the gateway has not acknowledged for a while */
  BW_TOO_LARGE, /* it never fits: too many fields, or larger than BW_BUFFER_BYTES or the queue */
  BW_MALFORMED, /* the gateway would refuse it, and all behind it would wait */
  BW_STORAGE    /* `save` failed */
} bw_status;

typedef enum { BW_DONE = 0, BW_REFUSED = 1, BW_EXPIRED = 2 } bw_outcome;
typedef enum { BW_BOOL = 0, BW_INTEGER = 1, BW_FLOAT = 2, BW_TEXT = 3 } bw_type;

typedef struct {
  uint32_t boot, sequence;
} bw_position;

typedef struct {
  const char *name;
  bw_type type;
  union {
    bool boolean;
    int64_t integer;
    float number;
    const char *text; /* UTF-8 */
  } value;
} bw_field;

/* What the device says: over MQTT to the topic of its kind, over serial as a frame. Valid until the next call. */
typedef struct {
  uint8_t kind;
  const uint8_t *bytes;
  size_t length;
} bw_message;

typedef struct {
  uint64_t id, expires_at_ms;
  uint32_t boot;
  char name[BW_NAME_MAX + 1];
  uint8_t payload[BW_PAYLOAD_MAX + 1]; /* with a NUL behind it */
  uint8_t payload_length;
} bw_command;

typedef struct {
  uint32_t token, boot;
  bw_position counted;
  uint64_t unix_ms;
} bw_welcome;

typedef struct {
  const char *device; /* 1 to 32 characters of visible ASCII without / + #; one of its kind at a gateway */
  const char *firmware;
  const char *const *commands;
  size_t command_count;
  uint32_t seed;            /* another number at each start, from a random source */
  const uint8_t *unique_id; /* a MAC address or a chip's number; NULL: a random one, kept with the events */
  size_t unique_id_length;
  uint8_t *memory; /* numbers and events */
  size_t memory_length; /* firmware that takes over a queue takes over its length, too */
  /* Writes memory[offset .. offset + length] to where a power cut does not reach it, in the order of the calls, and returns
   * true once it is there. NULL: events are kept in memory only. */
  bool (*save)(void *context, size_t offset, const uint8_t *bytes, size_t length);
  void *context;
} bw_config;

/* What went otherwise than it should. */
typedef struct {
  uint32_t accepted, acknowledged, repeated;
  uint32_t refused_full, refused_too_large, refused_malformed, storage_failed;
  uint32_t damaged, version, stale, renumbered;
  uint32_t command_repeated, command_expired, command_foreign;
} bw_counters;

typedef struct {
  uint64_t due;
  uint8_t tries;
} bw_retry;

/* Its fields are nobody's business but `counters`. */
typedef struct {
  bw_config config;
  bw_counters counters;
  struct {
    uint32_t generation, starts, base, head, used, count;
    uint16_t identity;
    char name[BW_DEVICE_MAX + 1];
  } kept;
  uint32_t sequence, token, sent, repeated_below, dice;
  bw_position counted, reach, last_sent;
  uint64_t asked_at, again_from, renumber_from;
  bw_retry hello, events, renumber;
  uint64_t unix_ms, clock_asked_at, clock_heard_at;
  bw_command command;
  uint64_t last_command;
  uint8_t order, outcome, rejoins, old_hellos;
  bool asked, welcomed, was_welcomed, more, has_clock, say_result;
  char detail[BW_TEXT_MAX + 1];
  uint8_t out[BW_BUFFER_BYTES];
} bw_client;

/* BW_MALFORMED: a name; BW_TOO_LARGE: the hello does not fit, or the memory is too small; BW_STORAGE: `save` failed. */
bw_status bw_start(bw_client *client, const bw_config *config);

/* BW_OK: it is counted once at the gateway, however often the line fails. Anything else is counted in the hello's `refused`. */
bw_status bw_event(bw_client *client, const bw_field *fields, size_t count, uint64_t now_ms);

/* The transport is there (again). */
void bw_connected(bw_client *client);

/* The next message to be sent now, until there is none. */
bool bw_poll(bw_client *client, uint64_t now_ms, bw_message *out);

/* When bw_poll has something again if nothing else happens. */
uint64_t bw_wake_at(const bw_client *client);

/* Takes a message from the gateway. Whatever it is, it is survived. */
void bw_receive(bw_client *client, uint8_t kind, const uint8_t *bytes, size_t length, uint64_t now_ms);

/* The command to act on now, once; then answer it. NULL: none. */
const bw_command *bw_command_to_obey(bw_client *client, uint64_t now_ms);
bool bw_answer(bw_client *client, uint64_t id, bw_outcome outcome, const char *detail);

bool bw_is_welcomed(const bw_client *client);
uint32_t bw_queued(const bw_client *client);
uint32_t bw_boot(const bw_client *client); /* 0: not known yet */
/* The name that messages go under now: the device's, or the one that it had before, as long as events of that time are kept. */
const char *bw_name(const bw_client *client);
/* Milliseconds since 1970, by the gateway's clock; 0: not known yet. */
uint64_t bw_unix_ms(const bw_client *client, uint64_t now_ms);

/* --- over MQTT: MQTT 3.1.1 or 5, a clean session, a client id of its own, TCP_NODELAY --- */

/* The topics to subscribe to after each connect, from index 0 on until false: four, or eight after another name was given. */
bool bw_mqtt_filter(const bw_client *client, uint8_t index, char topic[BW_TOPIC_MAX]);
/* The topic of what bw_poll just gave: `bellwire/device/DEVICE/LEVEL`. */
void bw_mqtt_topic(const bw_client *client, uint8_t kind, char topic[BW_TOPIC_MAX]);
/* 0 for events and acknowledgements, which are repeated until they arrive; 1 for all else. */
uint8_t bw_mqtt_qos(uint8_t kind);
void bw_mqtt_arrived(bw_client *client, const char *topic, size_t topic_length, const uint8_t *payload, size_t length,
                     uint64_t now_ms);

/* --- over a serial line --- */

typedef struct {
  uint8_t bytes[BW_TO_DEVICE_MAX + 5]; /* kind, message, CRC */
  uint8_t length, code, left;
  bool inside, bad;
} bw_decoder; /* all zero at first */

void bw_serial_frame(uint8_t kind, const uint8_t *bytes, size_t length, void (*put)(void *context, uint8_t byte),
                     void *context);
/* Each byte that came. */
void bw_serial_arrived(bw_client *client, bw_decoder *decoder, uint8_t byte, uint64_t now_ms);

/* --- messages by themselves; 0 or false: it cannot be --- */

size_t bw_encode_hello(uint8_t *out, size_t room, const bw_config *device, uint32_t boot, uint32_t token, bw_position oldest,
                       uint32_t queued, uint32_t refused);
size_t bw_encode_event(uint8_t *out, size_t room, const char *device, bw_position at, const bw_field *fields, size_t count);
size_t bw_encode_result(uint8_t *out, size_t room, const char *device, uint32_t boot, uint64_t id, bw_outcome outcome,
                        const char *detail);
bool bw_decode_welcome(const uint8_t *bytes, size_t length, bw_welcome *welcome);
bool bw_decode_ack(const uint8_t *bytes, size_t length, bw_position *counted);
bool bw_decode_command(const uint8_t *bytes, size_t length, bw_command *command);
/* True when the byte ended a frame: `found` is what was in it. */
bool bw_decode_frame(bw_decoder *decoder, uint8_t byte, bw_message *found, bool *damaged);

#ifdef __cplusplus
}
#endif
#endif
