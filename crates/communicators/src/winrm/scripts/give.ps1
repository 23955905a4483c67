#paths
$none = New-Object byte[] 0
function Say($line) { [Console]::Out.WriteLine($line) }
function Give($path, $name) {
  $in = [IO.File]::Open($path, 'Open', 'Read', 'ReadWrite')
  try {
    $hash = New-Object Security.Cryptography.SHA256CryptoServiceProvider
    $buffer = New-Object byte[] 49152
    $size = 0
    Say "f $(Encode $name)"
    while (($count = $in.Read($buffer, 0, $buffer.Length)) -gt 0) {
      Say "+ $([Convert]::ToBase64String($buffer, 0, $count))"
      [void]$hash.TransformBlock($buffer, 0, $count, $buffer, 0)
      $size += $count
    }
    [void]$hash.TransformFinalBlock($none, 0, 0)
    Say "e $size $(Hex $hash)"
  } finally { $in.Close() }
}
function Walk($path, $name) {
  if (-not [IO.Directory]::Exists($path)) { Give $path $name; return }
  if ([IO.File]::GetAttributes($path) -band [IO.FileAttributes]::ReparsePoint) { Say "l $(Encode $name)"; return }
  Say "d $(Encode $name)"
  foreach ($entry in [IO.Directory]::GetFileSystemEntries($path)) { Walk $entry "$name/$([IO.Path]::GetFileName($entry))" }
}
try {
  if (-not $folder) {
    $source = Resolve $source
    if ([IO.Directory]::Exists($source)) { throw "``$source`` is a directory" }
    Give $source ''
  } else {
    $source = (Expand $source).TrimEnd('\')
    $last = $source.Substring($source.LastIndexOf('\') + 1)
    $above = Resolve ($source.Substring(0, $source.Length - $last.Length) + '.')
    $entries = @([IO.Directory]::GetFileSystemEntries($above, $last))
    if ($entries.Length -eq 0) { throw "``$source`` does not exist" }
    foreach ($entry in $entries) { Walk $entry ([IO.Path]::GetFileName($entry)) }
  }
} catch {
  Complain $_
  exit 1
}
