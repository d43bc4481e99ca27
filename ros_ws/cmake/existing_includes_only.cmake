# The CMake targets exported by the ROS 2 wheels carry include directories of the machine that built the wheels, and
# CMake refuses to generate with them. At the end of the directory, keep only the include directories that exist.
# Pass with -DCMAKE_PROJECT_INCLUDE; does nothing under a ROS 2 from apt.
cmake_minimum_required(VERSION 3.21)

function(_keep_existing_includes)
  get_property(targets DIRECTORY PROPERTY IMPORTED_TARGETS)
  foreach(target IN LISTS targets)
    if(NOT target MATCHES "__rosidl_generator_py$")
      continue()
    endif()
    get_target_property(directories ${target} INTERFACE_INCLUDE_DIRECTORIES)
    set(existing "")
    foreach(directory IN LISTS directories)
      if(EXISTS "${directory}")
        list(APPEND existing "${directory}")
      endif()
    endforeach()
    set_target_properties(${target} PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${existing}")
  endforeach()
endfunction()

cmake_language(DEFER CALL _keep_existing_includes)
