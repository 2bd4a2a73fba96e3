package harness

// The planted bugs of brokers as destinations.
var (
	// NATSNotAwaited takes a message that is on its way for one that is stored.
	NATSNotAwaited = Mutant{"NATS: settled before the acknowledgement", []Edit{{
		"internal/engine/nats/sink.go", "\tfor i := max(0, len(events)-Window); i < len(events); i++ {\n", "\tfor i := len(events); i < len(events); i++ {\n",
	}}}
	// NATSAckOfAnother counts the answer to a message that was refused as that to one which was stored.
	NATSAckOfAnother = Mutant{"NATS: the acknowledgement of another message counts", []Edit{{
		"internal/engine/nats/batch.go", "\tcase err := <-future.Err():\n\t\tb.fail(i, b.errorOf(err))\n", "\tcase <-future.Err():\n\t\tb.stored++\n",
	}}}
	// NATSWithoutHeaders sends what the message holds alone.
	NATSWithoutHeaders = Mutant{"NATS: the headers are lost", []Edit{{
		"internal/engine/nats/batch.go", "\t\theader[field.Name] = []string{field.Value}\n", "\t\t_ = field\n",
	}}}
	// NATSBlocked gives up a batch over an event that can't be a message.
	NATSBlocked = Mutant{"NATS: an event that can't be encoded blocks the batch", []Edit{{
		"internal/engine/nats/batch.go", "\tif err != nil {\n\t\tb.fail(i, err)\n\t\treturn\n\t}\n\theader :=", "\tif err != nil {\n\t\tb.broken = err\n\t\tb.fail(i, err)\n\t\treturn\n\t}\n\theader :=",
	}}}
	// NATSOutageRefuses lays an outage to the events that were on their way.
	NATSOutageRefuses = Mutant{"NATS: an outage is a refusal", []Edit{{
		"internal/engine/nats/batch.go", "\t\tb.sink.lookAgain(b.conn)\n", "\t\tb.sink.lookAgain(b.conn)\n\t\treturn pillarbox.Permanent(err)\n",
	}}}
	// KafkaNotAwaited takes a record that is on its way for one that is stored.
	KafkaNotAwaited = Mutant{"Kafka: settled before the acknowledgement", []Edit{{
		"internal/engine/kafka/batch.go", "\tselect {\n\tcase results := <-answers:\n", "\tselect {\n\tdefault:\n\t\treturn nil\n\tcase results := <-answers:\n",
	}}}
	// KafkaAckOfAnother counts the acknowledgement of the first record for every one.
	KafkaAckOfAnother = Mutant{"Kafka: the acknowledgement of another record counts", []Edit{{
		"internal/engine/kafka/batch.go", "\tif results.FirstErr() == nil {\n", "\tif results[0].Err == nil {\n",
	}}}
	// KafkaBlamesAnother names the events of a batch in the order of the answers.
	KafkaBlamesAnother = Mutant{"Kafka: the refusal of one record is laid to another", []Edit{{
		"internal/engine/kafka/batch.go", "\t\tplaces[record] = b.places[i]\n", "\t\tplaces[record] = b.places[len(b.places)-1-i]\n",
	}}}
	// KafkaWithoutHeaders sends key and value alone.
	KafkaWithoutHeaders = Mutant{"Kafka: the headers are lost", []Edit{{
		"internal/engine/kafka/batch.go", "Value: m.Value, Headers: headers}", "Value: m.Value}",
	}}}
	// KafkaBlocked gives up a batch over an event that can't be a record.
	KafkaBlocked = Mutant{"Kafka: an event that can't be encoded blocks the batch", []Edit{{
		"internal/engine/kafka/batch.go", "\t\t\tb.fail(i, err)\n\t\t\tcontinue\n", "\t\t\tb.fail(i, err)\n\t\t\tbreak\n",
	}}}
	// KafkaOutageRefuses lays what an operator can mend to the events.
	KafkaOutageRefuses = Mutant{"Kafka: an outage is a refusal", []Edit{{
		"internal/engine/kafka/batch.go", "\treturn b.sink.unavailable(err)\n", "\treturn pillarbox.Permanent(err)\n",
	}}}
	// KeyOfAnother gives all events of a source the same key, and so one partition.
	KeyOfAnother = Mutant{"the key is the source, and not the event", []Edit{{
		"internal/bus/message.go", "return []byte(event.RequestID) }", "return []byte(event.Source) }",
	}}}
)
