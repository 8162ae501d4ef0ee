/* The list of files. */
#include "tests/vectors/make.h"

const struct vectors_file vectors_files[] = {
	{"frame", "Whole frames (PROTOCOL 4)", make_frames, describe_frame},
	{"contact", "Encoded Contact (PROTOCOL 2.6)", make_contacts, describe_contact},
	{"access_point", "Access points as text, and unspecified ones (PROTOCOL 2.5)", make_access_points, NULL},
	{"root_document", "Stored root documents and the network's id (PROTOCOL 2.3)", make_documents, describe_document},
	{"id", "Ids of members, keys of names, fingerprints (PROTOCOL 2.1, 2.2, 2.4)", make_ids, NULL},
	{"hello", "Bodies of HELLO (PROTOCOL 5.1)", make_hellos, describe_hello},
	{"welcome", "Bodies of WELCOME (PROTOCOL 5.1)", make_welcomes, describe_welcome},
	{"bye", "Bodies of BYE (PROTOCOL 5.4)", make_byes, describe_bye},
	{"paths", "Bodies of PATHS (PROTOCOL 5.5)", make_paths, describe_paths},
	{"judgement", "Hellos and what the acceptor says (PROTOCOL 5.2)", make_judgements, NULL},
	{"ring", "Bodies of RING (PROTOCOL 6)", make_ring, describe_ring},
	{"route", "What a node knows, a key, and where to next (PROTOCOL 7.1)", make_routes, NULL},
	{"lookup", "LOOKUP frames (PROTOCOL 7.2)", make_lookups, describe_lookup},
	{"lookup_reply", "Bodies of LOOKUP_REPLY (PROTOCOL 7.2)", make_lookup_replies, describe_lookup_reply},
	{"correction", "Bodies of CORRECTION (PROTOCOL 7.3)", make_corrections, describe_correction},
	{"table", "Tango's offsets, points of tables, the floor and its hysteresis (PROTOCOL 7.4)", make_tango, NULL},
	{"data", "DATA frames (PROTOCOL 8.2)", make_data, describe_data},
	{"data_ack", "DATA_ACK frames (PROTOCOL 8.3)", make_data_acks, describe_data_ack},
	{"cast", "CAST frames in a ring of 64 bits (PROTOCOL 9.1)", make_casts, describe_cast},
	{"cast_signature", "Signed CAST frames, the network, what is signed, and whether it holds (PROTOCOL 9.6)", make_cast_signatures, NULL},
	{"cast_ack", "Bodies of CAST_ACK (PROTOCOL 9.4)", make_cast_acks, describe_cast_ack},
	{"record", "Records of the network 0102030405060708 and 24 zero bytes; sum: beside term 7 (PROTOCOL 10.1)", make_records, describe_record},
	{"records", "Bodies of RECORD (PROTOCOL 10.1)", make_records_frames, describe_records},
	{0},
};
