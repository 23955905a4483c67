begin {
#paths
  $none = New-Object byte[] 0
  $done = 0; $out = $null; $temp = $null
}
process {
  try {
    $line = [string]$_
    if ($line.Length -eq 0) { return }
    $rest = $line.Substring(1).Trim()
    switch ($line[0]) {
      'h' { [Console]::Out.WriteLine('ready') }
      'd' { [void][IO.Directory]::CreateDirectory((Resolve (Decode $rest))) }
      'f' {
        $path = Resolve (Decode $rest)
        if ([IO.Directory]::Exists($path)) { throw "``$path`` is a directory" }
        [void][IO.Directory]::CreateDirectory([IO.Path]::GetDirectoryName($path))
        $temp = "$path.$([guid]::NewGuid()).tmp"
        $out = [IO.File]::Open($temp, 'CreateNew')
        $hash = New-Object Security.Cryptography.SHA256CryptoServiceProvider
      }
      '+' {
        $bytes = [Convert]::FromBase64String($rest)
        $out.Write($bytes, 0, $bytes.Length)
        [void]$hash.TransformBlock($bytes, 0, $bytes.Length, $bytes, 0)
      }
      'e' {
        [void]$hash.TransformFinalBlock($none, 0, 0)
        $got = "$($out.Length) $(Hex $hash)"
        $out.Close(); $out = $null
        if ($got -ne $rest) { throw "``$path`` did not arrive as it was sent" }
        if ([IO.File]::Exists($path)) { [IO.File]::Delete($path) }
        [IO.File]::Move($temp, $path)
        $temp = $null; $done += 1
      }
      default { throw "line ``$($line[0])``" }
    }
  } catch {
    Complain $_
    if ($out) { $out.Close() }
    if ($temp) { [IO.File]::Delete($temp) }
    exit 1
  }
}
end {
  if ($out) { $out.Close() }
  if ($temp) { [IO.File]::Delete($temp) }
  [Console]::Out.WriteLine("done $done")
}
