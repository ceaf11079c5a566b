// Prints an API key with the right form and checksum that nobody has issued.
const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const body = `sk-inv-${"0".repeat(10)}-${"0".repeat(43)}`;

let crc = ~0; // CRC-32 (IEEE)
for (const byte of Buffer.from(body)) {
  crc ^= byte;
  for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
}
let sum = "";
for (let rest = ~crc >>> 0; sum.length < 6; rest = Math.floor(rest / 62)) sum = digits[rest % 62] + sum;
console.log(body + sum);
