// SPDX-License-Identifier: Apache-2.0

// A verifier that shares nothing with Caisson: Go's own sumdb/tlog and sumdb/note prove an exported log entry by entry,
// a tlog-proof, and a proof of growth. It also plays a witness.
//
//	prove tiles DIR VKEY            prints how many entries it proved
//	prove proof FILE VKEY           prints the entry's index and SHA-256 of its bytes
//	prove consistency OLD NEW VKEY  OLD: a checkpoint; NEW: what caisson audit consistency wrote
//	prove cosign FILE NAME          prints a witness's key, then its line over that note
package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func wrong(format string, words ...interface{}) {
	must(fmt.Errorf(format, words...))
}

func read(path string) []byte {
	data, err := os.ReadFile(path)
	must(err)
	return data
}

// checkpoint opens the note under the key and takes its three lines apart.
func checkpoint(data []byte, vkey string) tlog.Tree {
	verifier, err := note.NewVerifier(vkey)
	must(err)
	opened, err := note.Open(data, note.VerifierList(verifier))
	must(err)
	lines := strings.Split(opened.Text, "\n")
	if len(lines) != 4 || lines[0] != verifier.Name() || lines[3] != "" {
		wrong("not a checkpoint of %s: %q", verifier.Name(), opened.Text)
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	must(err)
	root, err := tlog.ParseHash(lines[2])
	must(err)
	return tlog.Tree{N: size, Hash: root}
}

type folder string

func (f folder) Height() int { return 8 }

// The layout of sumdb has the tiles' height in its paths, tlog-tiles has not.
func (f folder) path(tile tlog.Tile) string {
	return filepath.Join(string(f), "tile", strings.TrimPrefix(tile.Path(), "tile/8/"))
}

func (f folder) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var all [][]byte
	for _, tile := range tiles {
		data, err := os.ReadFile(f.path(tile))
		if err != nil {
			return nil, err
		}
		all = append(all, data)
	}
	return all, nil
}

func (f folder) SaveTiles([]tlog.Tile, [][]byte) {}

func (f folder) bundle(n, width int64) [][]byte {
	tile := tlog.Tile{H: 8, L: -1, N: n, W: int(width)}
	data := read(filepath.Join(string(f), "tile", strings.Replace(strings.TrimPrefix(tile.Path(), "tile/8/"), "data", "entries", 1)))
	var entries [][]byte
	for len(data) > 0 {
		length := int(binary.BigEndian.Uint16(data))
		entries = append(entries, data[2:2+length])
		data = data[2+length:]
	}
	if int64(len(entries)) != width {
		wrong("bundle %d holds %d entries, not %d", n, len(entries), width)
	}
	return entries
}

func proveTiles(dir, vkey string) {
	tree := checkpoint(read(filepath.Join(dir, "checkpoint")), vkey)
	reader := tlog.TileHashReader(tree, folder(dir))
	for first := int64(0); first < tree.N; first += 256 {
		width := tree.N - first
		if width > 256 {
			width = 256
		}
		for i, entry := range folder(dir).bundle(first/256, width) {
			index := first + int64(i)
			proof, err := tlog.ProveRecord(tree.N, index, reader)
			must(err)
			must(tlog.CheckRecord(proof, tree.N, tree.Hash, index, tlog.RecordHash(entry)))
		}
		older, err := tlog.TreeHash(first+1, reader)
		must(err)
		growth, err := tlog.ProveTree(tree.N, first+1, reader)
		must(err)
		must(tlog.CheckTree(growth, tree.N, tree.Hash, first+1, older))
	}
	fmt.Println(tree.N)
}

// split gives the lines before the first empty line, and the checkpoint behind it.
func split(data []byte) ([]string, []byte) {
	parts := bytes.SplitN(data, []byte("\n\n"), 2)
	if len(parts) != 2 {
		wrong("there is no checkpoint")
	}
	return strings.Split(string(parts[0]), "\n"), parts[1]
}

func hashes(lines []string) []tlog.Hash {
	var all []tlog.Hash
	for _, line := range lines {
		hash, err := tlog.ParseHash(line)
		must(err)
		all = append(all, hash)
	}
	return all
}

func number(line, word string) int64 {
	if !strings.HasPrefix(line, word+" ") {
		wrong("%q does not begin with %s", line, word)
	}
	n, err := strconv.ParseInt(line[len(word)+1:], 10, 64)
	must(err)
	return n
}

func proveOne(path, vkey string) {
	lines, signed := split(read(path))
	if lines[0] != "c2sp.org/tlog-proof@v1" || !strings.HasPrefix(lines[1], "extra ") {
		wrong("not a tlog-proof that carries its entry: %q", lines[:2])
	}
	entry, err := base64.StdEncoding.DecodeString(lines[1][len("extra "):])
	must(err)
	index := number(lines[2], "index")
	tree := checkpoint(signed, vkey)
	must(tlog.CheckRecord(tlog.RecordProof(hashes(lines[3:])), tree.N, tree.Hash, index, tlog.RecordHash(entry)))
	fmt.Printf("%d %x\n", index, sha256.Sum256(entry))
}

func proveGrowth(old, new, vkey string) {
	before := checkpoint(read(old), vkey)
	lines, signed := split(read(new))
	after := checkpoint(signed, vkey)
	if number(lines[0], "old") != before.N {
		wrong("the proof is about another size than %d", before.N)
	}
	must(tlog.CheckTree(tlog.TreeProof(hashes(lines[1:])), after.N, after.Hash, before.N, before.Hash))
	fmt.Println(before.N, after.N)
}

func cosign(path, name string) {
	const seconds = 1700000000
	data := read(path)
	text := data[:bytes.Index(data, []byte("\n\n"))+1]
	seed := sha256.Sum256([]byte("a witness of the tests: " + name))
	key := ed25519.NewKeyFromSeed(seed[:])
	typed := append([]byte{4}, key.Public().(ed25519.PublicKey)...)
	id := sha256.Sum256(append([]byte(name+"\n"), typed...))
	line := append([]byte{}, id[:4]...)
	line = binary.BigEndian.AppendUint64(line, seconds)
	line = append(line, ed25519.Sign(key, append([]byte(fmt.Sprintf("cosignature/v1\ntime %d\n", seconds)), text...))...)
	fmt.Printf("%s+%x+%s\n", name, id[:4], base64.StdEncoding.EncodeToString(typed))
	fmt.Printf("\u2014 %s %s\n", name, base64.StdEncoding.EncodeToString(line))
}

func main() {
	words := os.Args[1:]
	switch {
	case len(words) == 3 && words[0] == "tiles":
		proveTiles(words[1], words[2])
	case len(words) == 3 && words[0] == "proof":
		proveOne(words[1], words[2])
	case len(words) == 4 && words[0] == "consistency":
		proveGrowth(words[1], words[2], words[3])
	case len(words) == 3 && words[0] == "cosign":
		cosign(words[1], words[2])
	default:
		wrong("prove tiles|proof|consistency|cosign …")
	}
}
