package proxy

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/netip"
	"strconv"
	"strings"
)

// Limits of a header of the PROXY protocol, in bytes.
const (
	maxLine  = 107     // of version 1, with its CRLF: as the protocol says
	MaxBlock = 4 << 10 // of version 2 behind its first 16 bytes: a certificate of a client fits
)

// ErrProtocol says that a connection does not begin with a header of the PROXY protocol.
var ErrProtocol = errors.New("the connection does not begin with a header of the PROXY protocol")

// signature begins version 2.
const signature = "\r\n\r\n\x00\r\nQUIT\n"

// shortestLine is the shortest header of version 1, in bytes.
const shortestLine = len("PROXY UNKNOWN\r\n")

// ReadHeader reads a header of version 1 or 2, and not a byte behind it. It returns the address of
// the client; the zero one where the proxy speaks for itself, or knows none. Errors: ErrProtocol,
// and those of r.
func ReadHeader(r io.Reader) (netip.Addr, error) {
	var b [MaxBlock + 16]byte
	if _, err := io.ReadFull(r, b[:len(signature)]); err != nil {
		return netip.Addr{}, unended(err)
	}
	if string(b[:len(signature)]) == signature {
		return readBlock(r, b[:])
	}
	if !bytes.HasPrefix(b[:], []byte("PROXY ")) {
		return netip.Addr{}, ErrProtocol
	}
	return readLine(r, b[:maxLine])
}

func unended(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: it ends before", ErrProtocol)
	}
	return err
}

// readLine reads version 1. Its length is not known before its end, so it comes by bytes.
func readLine(r io.Reader, b []byte) (netip.Addr, error) {
	if _, err := io.ReadFull(r, b[len(signature):shortestLine]); err != nil {
		return netip.Addr{}, unended(err)
	}
	n := shortestLine
	for !bytes.HasSuffix(b[:n], []byte("\r\n")) {
		if n == len(b) || bytes.IndexByte(b[:n], '\n') >= 0 {
			return netip.Addr{}, ErrProtocol
		}
		if _, err := io.ReadFull(r, b[n:n+1]); err != nil {
			return netip.Addr{}, unended(err)
		}
		n++
	}
	return parseLine(string(b[:n-2]))
}

func parseLine(line string) (netip.Addr, error) {
	parts := strings.Split(line, " ")
	if len(parts) >= 2 && parts[1] == "UNKNOWN" {
		return netip.Addr{}, nil // whatever follows is to be ignored
	}
	if len(parts) != 6 || parts[1] != "TCP4" && parts[1] != "TCP6" || !isPort(parts[4]) ||
		!isPort(parts[5]) {
		return netip.Addr{}, ErrProtocol
	}
	var addresses [2]netip.Addr
	for i := range addresses {
		var err error
		addresses[i], err = netip.ParseAddr(parts[2+i])
		if err != nil || addresses[i].Zone() != "" || addresses[i].Is4() != (parts[1] == "TCP4") {
			return netip.Addr{}, ErrProtocol
		}
	}
	return addresses[0].Unmap(), nil
}

// isPort reports whether a text is a port as version 1 wants it: decimal, without leading zeros.
func isPort(text string) bool {
	port, err := strconv.ParseUint(text, 10, 16)
	return err == nil && strconv.FormatUint(port, 10) == text
}

// The addresses of a block of version 2: their family and transport, and how many bytes they have.
const (
	unspecified = 0x00
	tcp4        = 0x11
	tcp6        = 0x21
	unixStream  = 0x31

	bytes4    = 12
	bytes6    = 36
	bytesUnix = 216
)

// readBlock reads version 2.
func readBlock(r io.Reader, b []byte) (netip.Addr, error) {
	if _, err := io.ReadFull(r, b[len(signature):16]); err != nil {
		return netip.Addr{}, unended(err)
	}
	command, family, length := b[12], b[13], int(binary.BigEndian.Uint16(b[14:16]))
	if command>>4 != 2 || command&0xf > 1 || length > MaxBlock {
		return netip.Addr{}, ErrProtocol
	}
	b = b[:16+length]
	if _, err := io.ReadFull(r, b[16:]); err != nil {
		return netip.Addr{}, unended(err)
	}
	if command&0xf == 0 { // LOCAL: the proxy speaks for itself, and what follows is to be ignored
		return netip.Addr{}, nil
	}
	return parseBlock(b, family)
}

func parseBlock(b []byte, family byte) (client netip.Addr, err error) {
	size := 0
	switch family {
	case tcp4:
		size = bytes4
	case tcp6:
		size = bytes6
	case unixStream:
		size = bytesUnix
	case unspecified:
		return netip.Addr{}, nil
	default:
		return netip.Addr{}, ErrProtocol
	}
	if len(b) < 16+size {
		return netip.Addr{}, ErrProtocol
	}
	switch family {
	case tcp4:
		client, _ = netip.AddrFromSlice(b[16:20])
	case tcp6:
		client, _ = netip.AddrFromSlice(b[16:32])
	}
	if err := checkExtensions(b, 16+size); err != nil {
		return netip.Addr{}, err
	}
	return client.Unmap(), nil
}

// crcType is the extension that has a sum over the whole header.
const crcType = 0x03

// checkExtensions sees that what follows the addresses is extensions, each of a type, a length and
// so many bytes, and that a sum is right.
func checkExtensions(b []byte, at int) error {
	for at < len(b) {
		if len(b)-at < 3 {
			return ErrProtocol
		}
		kind, length := b[at], int(binary.BigEndian.Uint16(b[at+1:]))
		value := at + 3
		if at = value + length; at > len(b) {
			return ErrProtocol
		}
		if kind != crcType {
			continue
		}
		if length != 4 {
			return ErrProtocol
		}
		sum := binary.BigEndian.Uint32(b[value:])
		whole := bytes.Clone(b)
		clear(whole[value : value+4])
		if crc32.Checksum(whole, crc32.MakeTable(crc32.Castagnoli)) != sum {
			return fmt.Errorf("%w: its sum is wrong", ErrProtocol)
		}
	}
	return nil
}
