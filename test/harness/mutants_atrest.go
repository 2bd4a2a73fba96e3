package harness

const atRestSource = "internal/atrest/"

// The planted bugs of encryption at rest.
var (
	// NonceRepeated seals every box of a writer under one nonce.
	NonceRepeated = Mutant{"a nonce is used twice", []Edit{{
		atRestSource + "box.go", "\tn := s.used.Add(1)\n", "\tn := s.used.Load() + 1\n",
	}}}
	// SealerNotDrawn begins each life with the same nonces.
	SealerNotDrawn = Mutant{"nonces are not drawn", []Edit{{
		atRestSource + "box.go", "\t_, _ = rand.Read(s.drawn[:]) // never fails, by its documentation\n", "\t_, _ = rand.Read(nil)\n",
	}}}
	// AnyPurpose opens a box whatever it was sealed for.
	AnyPurpose = Mutant{"boxes are for any purpose", []Edit{
		{atRestSource + "box.go", "s.aead.Seal(dst, nonce[:], plain, []byte(purpose))", "s.aead.Seal(dst, nonce[:], plain, nil)"},
		{atRestSource + "box.go", "\t\t[]byte(purpose))\n\tif err != nil {\n", "\t\tnil)\n\tif err != nil {\n"},
	}}
	// DataKeyNotKept seals with a data key that is in memory alone.
	DataKeyNotKept = Mutant{"a data key seals before it is kept", []Edit{{
		atRestSource + "keys.go", "\treturn one.write(k.fsys)\n", "\treturn nil\n",
	}}}
	// RewrappedInMemory wraps data keys anew, and keeps them as they were.
	RewrappedInMemory = Mutant{"data keys are rewrapped in memory alone", []Edit{{
		atRestSource + "keys.go", "\treturn one.write(k.fsys)\n", "\tif k.sealer.Load() == nil && len(k.files) > 0 {\n\t\treturn nil\n\t}\n\treturn one.write(k.fsys)\n",
	}}}
	// AbsentKeyIsDamage takes an event whose data key is missing for damaged for good.
	AbsentKeyIsDamage = Mutant{"a missing data key is damage for good", []Edit{{
		"internal/engine/seglog/boxes.go", "rec.missing, c.unread = true, c.unread || absent", "rec.missing = true",
	}}}
	// StateInTheClear seals records, and not the state of their delivery.
	StateInTheClear = Mutant{"delivery states are in the clear", []Edit{{
		"internal/engine/seglog/boxes.go", "if err == nil && keys.Seals() {", "if err == nil && keys.Seals() && len(payload) < 10 {",
	}}}
)
